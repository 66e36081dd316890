"""`splicer top` in a terminal (tmux), against a running edge."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.e2e.operator import kill_admin, observed, see, see_until
from tests.e2e.test_command_line import splicer
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tmux import Terminal, needs_tmux, terminal
from tests.kit.wire import Wire

pytestmark = [pytest.mark.slow, needs_tmux]

COMMAND = f"{sys.executable} -m splicer top"
KEYS = "q quit  s sort"
SHAPE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site), site) as edge:
        yield edge


@pytest.fixture
async def other(edge: Edge, nursery: trio.Nursery) -> Place:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place


@pytest.fixture
def screen() -> Iterator[Terminal]:
    with terminal(width=160) as it:
        yield it


def rows(lines: Sequence[str]) -> list[list[str]]:
    """The cells of the table's rows, the mark of the selected one first: ">" or ""."""
    [start] = [number for number, line in enumerate(lines) if re.match(r"  (pod |worker)", line)] or [len(lines)]
    found = [line for line in lines[start + 1 : -1] if line]
    return [[line[0].strip(), *line[1:].split()] for line in found]


def pods(lines: Sequence[str]) -> list[str]:
    return [row[1] for row in rows(lines)]


def selected(lines: Sequence[str]) -> list[str]:
    return [row[1] for row in rows(lines) if row[0] == ">"]


async def opened(screen: Terminal, edge: Edge) -> None:
    await screen.run(f"{COMMAND} -c {edge.path}")
    await screen.says(KEYS)


async def mode_of(screen: Terminal) -> str:
    """The terminal's settings (stty(1))."""
    path = str(await trio.Path(f"/proc/{screen.process}/fd/0").readlink())
    done = await trio.run_process(["stty", "-a", "-F", path], capture_stdout=True)
    return done.stdout.decode()


async def talk(wire: Wire, size: int, seconds: float) -> None:
    """Send so many bytes at such intervals until the call is over; what the pod sends back is left unread."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await wire.send(bytes(size))
            await trio.sleep(seconds)


async def test_calls_move_are_sorted_filtered_and_closed(
    edge: Edge, place: Place, other: Place, screen: Terminal, nursery: trio.Nursery
) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as first, tunnel(edge, f"/ws1/{other.name}/x") as second:
        nursery.start_soon(talk, first, 1, 1.0)
        nursery.start_soon(talk, second, 100, 0.02)
        await opened(screen, edge)
        before = await screen.shows(lambda lines: pods(lines) == [place.name, other.name])
        assert "calls: 2, by age" in before
        assert selected(before) == [place.name]

        await screen.shows(lambda lines: any("kB/s" in cell for row in rows(lines) for cell in row))
        await screen.type("s", "s")
        await screen.says("by rate")
        moving = await screen.shows(lambda lines: pods(lines) == [other.name, place.name])
        assert selected(moving) == [place.name], "the selection stays with its call"

        await screen.type("/")
        await screen.type("-l", "ws1")
        await screen.says("/ws1_")
        await screen.type("Enter")
        found = await screen.shows(lambda lines: pods(lines) == [other.name])
        assert "calls: 1 of 2, by rate, with 'ws1'" in found
        await screen.type("Escape")
        await screen.shows(lambda lines: len(pods(lines)) == 2)

        await screen.type("End")
        await screen.shows(lambda lines: selected(lines) == [place.name])
        await screen.type("k")
        [asked] = [line for line in await screen.says("y/n") if "y/n" in line]
        call = asked.split()[3].removesuffix("?")
        await screen.type("n")
        await screen.says("nothing was done")
        await screen.type("k")
        await screen.says("y/n")
        await screen.type("y")
        await screen.says(f"closed {call}")
        await first.rest()
        await screen.shows(lambda lines: pods(lines) == [other.name])
        assert (await edge.line("tunnel_close"))["reason"] == "operator"
        nursery.cancel_scope.cancel()


async def test_a_pod_is_drained_and_the_drain_undone(
    edge: Edge, place: Place, screen: Terminal, nursery: trio.Nursery
) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        nursery.start_soon(talk, wire, 1, 1.0)
        await opened(screen, edge)
        await screen.shows(lambda lines: pods(lines) == [place.name])
        await screen.type("d")
        await screen.says(f"Drain pod {place.name}? No new call goes there; live ones finish. y/n")
        await screen.type("y")
        await screen.says(f"pod {place.name}: draining", f"drained: pod {place.name}, 1 tunnel remains")
        assert [each["name"] for each in (await see(edge, "/drain"))["drains"]] == [place.name]

        # When its last call is over, it is in the list of pods still.
        await screen.type("p")
        await screen.shows(lambda lines: pods(lines) != [] and "pods: " in "".join(lines))
        await screen.type("/")
        await screen.type("-l", place.name)
        await screen.shows(lambda lines: any("drained" in cell for row in rows(lines) for cell in row))
        await screen.type("Enter")
        await screen.type("d")
        await screen.says(f"Undo the drain of pod {place.name}? New calls go there again. y/n")
        await screen.type("y")
        await screen.says(f"pod {place.name}: no longer drained")
        await see_until(edge, "/drain", lambda said: said["drains"] == [])
        nursery.cancel_scope.cancel()


async def test_workers_and_a_killed_admin_process(
    edge: Edge, place: Place, screen: Terminal, nursery: trio.Nursery
) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as wire:
        nursery.start_soon(talk, wire, 1, 1.0)
        await opened(screen, edge)
        await screen.type("w")
        lines = await screen.shows(lambda lines: len(rows(lines)) == 2 and "workers: 2" in lines)
        assert {int(row[2]) for row in rows(lines)} == set(edge.workers)
        await screen.type("w")
        await screen.says("calls: 1, by age")

        await kill_admin(edge)
        await screen.shows(lambda lines: not any("no connection" in line for line in lines))
        async with tunnel(edge, f"/ws1/{place.name}/x"):
            await screen.says("calls: 2, by age")
        nursery.cancel_scope.cancel()


async def test_an_edge_that_has_ended_is_told_and_waited_for(screen: Terminal) -> None:
    site = Site()
    text = observed(site)
    with running(text, site) as first:
        await opened(screen, first)
        await screen.says("calls: 0, by age")
    await screen.says("no connection since ", "connection refused", "trying again")
    with running(text, site):
        await screen.shows(lambda lines: not any("no connection" in line for line in lines))
        await screen.type("q")
        await screen.shows(lambda lines: KEYS not in "".join(lines))


@pytest.mark.parametrize(
    ("by", "code"), [("q", 0), ("C-c", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), ("crash", 1)]
)
async def test_the_terminal_is_put_back(edge: Edge, screen: Terminal, by: str | signal.Signals, code: int) -> None:
    await screen.prompts()
    before = await mode_of(screen)
    crash = "import splicer.ops.top.session as it; it.KeyReader.feed = lambda *_: 1 / 0; "
    enter = f"import sys; from splicer.cli.app import main; sys.argv[1:] = ['top', '-c', '{edge.path}']; main()"
    command = f'{sys.executable} -c "{crash}{enter}"' if by == "crash" else f"{COMMAND} -c {edge.path}"
    await screen.run(f"{command}; echo code=$?")
    await screen.says(KEYS)
    assert await mode_of(screen) != before
    await screen.type("C-z", "C-s")  # keys like others
    if isinstance(by, signal.Signals):
        [child] = (await trio.Path(f"/proc/{screen.process}/task/{screen.process}/children").read_text()).split()
        os.kill(int(child), by)
    elif by != "crash":
        await screen.type(by)
    lines = await screen.says(f"code={code}")
    assert KEYS not in "".join(lines)
    assert any("ZeroDivisionError" in line for line in lines) == (by == "crash")
    assert await mode_of(screen) == before
    await screen.run("echo still here")
    await screen.says("still here")


async def test_it_fits_a_narrow_and_a_low_terminal(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x"):
        with terminal(width=60, height=8) as screen:
            await opened(screen, edge)
            lines = await screen.shows(lambda lines: pods(lines) == [place.name])
            assert len(lines) == 8
            assert lines[2].split()[:2] == ["pod", "client"]
    await edge.line("tunnel_close")


async def test_without_a_terminal_it_prints_once(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x"):
        done = await splicer("top", "-c", edge.path)
        assert (done.code, done.err) == (0, "")
        facts, title, heading, *found = done.out.splitlines()
        assert re.match(r"splicer \S+ · 1 call · ", facts)
        assert title == "calls: 1, by age"
        assert heading.split()[:3] == ["pod", "route", "client"]
        assert [line.split()[:2] for line in found] == [[place.name, "ws"]]
        assert "\x1b" not in done.out
    await edge.line("tunnel_close")


async def test_an_address_where_nobody_is(tmp_path: Path, screen: Terminal) -> None:
    fault = "splicer: 127.0.0.1:1: connection refused; does splicer run there?"
    done = await splicer("top", "--admin", "127.0.0.1:1")
    assert (done.code, done.out, done.err) == (1, "", f"{fault}\n")
    await screen.run(f"{COMMAND} --admin 127.0.0.1:1; echo code=$?")
    assert fault in await screen.says("code=1")
