"""The template of an edge: what it saves, what comes of it, and that its death costs nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.kit.apiserver import Pod, api_server
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import echoes, kill_worker, several
from tests.kit.pods import tunnel_pod
from tests.kit.site import Site, free_port
from tests.kit.tls import NAME, Certificates, ask_tls, tls_text
from tests.kit.wire import TIMEOUT, ask, until
from tests.kit.workers import kill_and_see, worker_pids

_MOST_BYTES = 75_000_000  # PSS of supervisor, template, one worker, spare and admin process, idle, with all code loaded
_MOST_WITH_DISCOVERY = 95_000_000  # ... with the discovery process, which knows 500 pods
_MOST_WITH_TLS = 128_000_000  # ... and with one tls process
_POLL_INTERVAL = 0.01  # seconds
_IDLE = """
[server]
listen = "127.0.0.1:0"
admin = "{admin}"
workers = 1
{more}[[routes]]
name = "health"
path = "/health"
respond = {{ status = 200, body = "healthy" }}
"""
_DISCOVERY = """
[kubernetes]
api = "{url}"
token_file = "{token}"
ca_file = "{ca}"
[upstreams.agent]
address = "voice-agent.voice.svc.cluster.local:8000"
discovery = "kubernetes"
[[routes]]
name = "agent"
prefix = "/"
upstream = "agent"
"""
_TITLES = {"supervisor", "template", "worker 1", "spare", "admin"}


@pytest.fixture
def edge() -> Iterator[Edge]:
    site = Site()
    with running(several(site, 1, admin=f"127.0.0.1:{free_port()}"), site) as edge:
        yield edge


def named(edge: Edge) -> dict[str, int]:
    """The processes by their titles."""
    return {title.removeprefix("splicer: ").partition(" /")[0]: pid for pid, title in session_of(edge.pid)}


async def all_there(edge: Edge, *more: str) -> dict[str, int]:
    """All processes by their titles, once they are there."""
    return await until(lambda: found if (found := named(edge)).keys() == _TITLES | set(more) else {})


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_forked(pid: int) -> bool:
    """Whether a process was forked by a template: it shares pages with it that no file has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("Shared_Dirty:")[2].split()[0]) > 4096


@pytest.mark.alone  # a template that loads for more than 10 s is not waited for
async def test_all_processes_together_take_little_memory() -> None:
    with running(_idle(), Site(pods=1)) as edge:
        assert (await ask(edge.address, "GET", "/health")).status == 200
        await _take_at_most(_MOST_BYTES, edge)


@pytest.mark.slow
async def test_so_do_they_with_discovery() -> None:
    with _discovering() as discovery, running(_idle() + discovery, Site(pods=1)) as edge:
        await edge.line("discovery_synced")
        assert (await ask(edge.address, "GET", "/health")).status == 200
        await _take_at_most(_MOST_WITH_DISCOVERY, edge, "discovery")


@pytest.mark.slow
async def test_and_with_a_tls_process(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    idle = _idle(tls=[certificates.folder("edge", NAME)])
    with _discovering() as discovery, running(idle + discovery, Site(pods=1)) as edge:
        await edge.line("discovery_synced")
        assert (await ask_tls(edge, certificates.client(), "/health")).status == 200
        await _take_at_most(_MOST_WITH_TLS, edge, "discovery", "tls")


def _idle(tls: Sequence[Path] = ()) -> str:
    text = _IDLE.format(admin=f"127.0.0.1:{free_port()}", more="tls_workers = 1\n" if tls else "")
    return tls_text(text, tls) if tls else text


@contextmanager
def _discovering() -> Iterator[str]:
    with api_server() as api:
        api.sync("voice-agent", [Pod(f"voice-agent-{i}", f"10.1.{i // 250}.{i % 250}") for i in range(500)])
        yield _DISCOVERY.format(url=api.url, token=api.token_file, ca=api.ca_file)


async def _take_at_most(most: int, edge: Edge, *more: str) -> None:
    pids = await all_there(edge, *more)
    await trio.sleep(2)  # they are idle by then
    sizes = {title: _pss(pid) for title, pid in pids.items()}
    assert sum(sizes.values()) <= most, {title: f"{size >> 10} KiB" for title, size in sizes.items()}


def _pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) << 10


async def test_those_that_are_forked_are_the_supervisors_children(edge: Edge) -> None:
    pids = await all_there(edge)
    assert {parent(pid) for title, pid in pids.items() if title != "supervisor"} == {edge.pid}
    for title in ("worker 1", "spare", "admin"):
        assert is_forked(pids[title]), title
    assert children(edge.pid) == set(pids.values()) - {edge.pid}, "none is a zombie"


async def test_the_templates_death_costs_nothing(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    before = await all_there(edge)
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        await kill_and_see(before["template"])
        [line] = await edge.wait_lines(1, "template_died")
        assert (line["level"], line["reason"], line["pid"]) == ("warning", "SIGKILL", before["template"])
        await echoes(call)
        await kill_worker(edge, 1)  # the spare takes its slot, and another spare is forked or executed
        await echoes(call)
        after = await all_there(edge)
        assert not set(after.values()) & {before["template"], before["worker 1"]}
        with trio.fail_after(TIMEOUT):
            while not is_forked((await all_there(edge))["spare"]):  # the new template loads for a while
                await kill_worker(edge, 1)
        await echoes(call)


async def test_without_a_template_that_answers_processes_are_executed(edge: Edge) -> None:
    pids = await all_there(edge)
    os.kill(pids["template"], signal.SIGSTOP)
    await kill_and_see(pids["spare"])
    await edge.expected(1, "worker_died", pid=pids["spare"])
    assert (await ask(edge.address, "GET", "/health")).status == 200
    assert (await edge.line("template_died"))["reason"] == "SIGKILL"
    after = await all_there(edge)
    assert after["spare"] != pids["spare"]
    assert after["template"] != pids["template"]


async def test_a_reload_is_read_while_the_template_dies(edge: Edge) -> None:
    pids = await all_there(edge)
    os.kill(pids["template"], signal.SIGSTOP)
    line = await edge.reload(edge.path.read_text() + "# changed\n")
    assert line["event"] == "reload"
    await all_there(edge)


async def test_a_worker_that_was_forked_has_no_descriptor_but_its_own(edge: Edge) -> None:
    """The same as one that was executed because there was no template."""
    pids = await all_there(edge)
    forked = await _kinds(edge, pids["spare"])
    os.kill(pids["template"], signal.SIGSTOP)
    await kill_and_see(pids["spare"])
    await edge.expected(1, "worker_died", pid=pids["spare"])
    await edge.line("template_died")
    executed = (await all_there(edge))["spare"]
    assert not is_forked(executed)
    assert await _kinds(edge, executed) == forked


async def _kinds(edge: Edge, pid: int) -> Counter[str]:
    """What a spare has open, once that does not change any more."""
    seen: list[Counter[str]] = []
    with trio.fail_after(TIMEOUT):
        while len(seen) < 20 or seen[-1] != seen[-20]:
            seen.append(Counter(re.sub(r"\d+", "", link) for link in edge.open_files(pid)))
            await trio.sleep(_POLL_INTERVAL)
    found = seen[-1]
    for link in found:
        if "splicer-metrics-" in link:
            found[link] = 1  # a file that grows is mapped again, and so open once more
    return found


async def test_two_workers_give_no_request_the_same_id(edge: Edge) -> None:
    """Both were forked from the same state."""
    await all_there(edge)
    for _ in range(3):
        assert (await ask(edge.address, "GET", "/nowhere")).status == 404
    await edge.wait_lines(3, "exchange")  # they are out before the worker dies
    await kill_worker(edge, 1)
    for _ in range(3):
        assert (await ask(edge.address, "GET", "/nowhere")).status == 404
    ids = [line["id"] for line in await edge.wait_lines(6, "exchange")]
    assert len(set(ids)) == len(ids) == 6


async def test_it_goes_when_its_supervisor_dies(edge: Edge) -> None:
    await all_there(edge)
    edge.killed = True
    await kill_and_see(edge.pid)
    await edge.expected(1, "supervisor_lost")
    late = time.monotonic() + TIMEOUT
    while session_of(edge.pid):
        assert time.monotonic() < late
        await trio.sleep(_POLL_INTERVAL)
    assert worker_pids(edge.pid) == {}
