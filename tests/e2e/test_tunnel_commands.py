"""`splicer tunnels` and `splicer status` against a running edge, through pipes as a script has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.e2e.operator import address_of, listed, observed, see, see_until
from tests.e2e.test_command_line import Result, splicer
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker_of, several, the_gap, tunnel_at
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import ask, dial, until
from tests.kit.workers import worker_pids


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(observed(site), site) as edge:
        yield edge


async def told(edge: Edge, *words: str, code: int = 0, **environ: str) -> Result:
    """What a command says; its exit code is judged."""
    result = await splicer(*words, "-c", edge.path, **environ)
    assert result.code == code, result
    return result


async def test_a_list_is_whole_however_narrow_the_terminal(edge: Edge, place: Place) -> None:
    paths = [f"/ws/{place.name}/{number}" for number in range(3)]
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel(edge, path, source="127.0.0.8")) for path in paths]
        for wire in wires:
            await echoes(wire, bytes(160))
        result = await told(edge, "tunnels", "list", COLUMNS="20", TERM="xterm-256color", FORCE_COLOR="")
        heading, *lines = result.out.splitlines()
        rows = await listed(edge)
        assert heading.split()[:4] == ["id", "route", "pod", "client"]
        assert len(lines) == len(paths)
        assert {line.split()[0] for line in lines} == {row["id"] for row in rows.values()}
        for line in lines:
            assert line.split()[1:4] == ["ws", place.name, "127.0.0.8"]
        assert "…" not in result.out
        assert "\x1b" not in result.out
        assert result.err == ""
    await edge.wait_lines(3, "tunnel_close")


async def test_lists_for_scripts(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x"), tunnel(edge, f"/ws1/{place.name}/x"):
        rows = await listed(edge)
        for options, wanted in (
            ((), set(rows)),
            (("--route", "ws1"), {f"/ws1/{place.name}/x"}),
            (("--pod", place.name), set(rows)),
            (("--pod", place.name, "--route", "ws"), {f"/ws/{place.name}/x"}),
            (("--pod", "nobody"), set()),
        ):
            said = json.loads((await told(edge, "tunnels", "list", "--json", *options)).out)
            assert {row["path"] for row in said["tunnels"]} == wanted
            for row in said["tunnels"]:
                assert row["id"] == rows[row["path"]]["id"]
    await edge.wait_lines(2, "tunnel_close")


async def test_a_list_says_who_did_not_answer(edge: Edge, place: Place) -> None:
    async with tunnel_at(edge, 1, f"/ws/{place.name}/x") as call:
        async with the_gap(edge, call):
            result = await told(edge, "tunnels", "list", "--json")
            assert json.loads(result.out)["missing_workers"] == [1]
            assert "worker 1 did not answer" in result.err
        await echoes(call)
    await edge.line("tunnel_close")


async def test_some_are_closed(edge: Edge, place: Place) -> None:
    paths = [f"/ws/{place.name}/{number}" for number in range(4)]
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel(edge, path)) for path in paths]
        await kill_worker_of(edge, wires[0])
        await echoes(wires[0])
        ids = [(await listed(edge))[path]["id"] for path in paths]
        result = await told(edge, "tunnels", "close", *ids[:2])
        assert result.out.splitlines() == [f"closed {one}" for one in ids[:2]]
        for wire in wires[:2]:
            assert await wire.rest() == b""
        result = await told(edge, "tunnels", "close", "--json", ids[0], ids[2], code=1)
        assert [json.loads(line) for line in result.out.splitlines()] == [{"closed": ids[2]}]
        [fault] = result.err.splitlines()
        assert ids[0] in fault
        assert await wires[2].rest() == b""
        await echoes(wires[3])
        for line in await edge.wait_lines(3, "tunnel_close", reason="operator"):
            assert line["id"] in ids[:3]
    await edge.wait_lines(4, "tunnel_close")


@pytest.mark.parametrize("scope", [(), ("--pod",), ("--route",)])
async def test_a_drain_is_waited_for(edge: Edge, place: Place, scope: tuple[str, ...]) -> None:
    option = (*scope, place.name if scope == ("--pod",) else "ws") if scope else ()
    path = f"/ws/{place.name}/x"

    async def ring() -> int:
        async with dial(edge.address) as wire:
            await wire.send(handshake(f"/ws/{place.name}/y"))
            return (await wire.reply()).status

    try:
        results = []
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                results.append(await told(edge, "tunnels", "drain", "--wait", *option))

            async with tunnel(edge, path) as call:
                result = await told(edge, "tunnels", "drain", "--json", *option)
                [one] = json.loads(result.out)["drains"]
                assert one["remaining"] == 1
                result = await told(edge, "tunnels", "drain", "--wait", "--timeout", "100ms", *option, code=1)
                assert "1 tunnel remains" in result.err
                nursery.start_soon(wait)
                assert await ring() >= 500
                await echoes(call)
                assert results == []
        assert results[0].out.splitlines()[-1].endswith("drained")
    finally:
        result = await told(edge, "tunnels", "drain", "--undo", *option)
    assert "no longer drained" in result.out
    assert await ring() == 101
    await until(lambda: len(edge.find("tunnel_close")) == 2)


async def test_the_status(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x"):
        await see_until(edge, "/status", lambda said: said["remaining"] == 1)
        said = json.loads((await told(edge, "status", "--json")).out)
        shown = await see(edge, "/status")
        assert said.keys() == shown.keys()
        assert {worker["slot"]: worker["pid"] for worker in said["workers"]} == worker_pids(edge.pid)
        assert said["remaining"] == 1
        table = (await told(edge, "status", COLUMNS="10")).out
        for pid in worker_pids(edge.pid).values():
            assert str(pid) in table
        assert said["version"] in table
        assert "…" not in table
        assert "\x1b" not in table
    await edge.line("tunnel_close")


async def test_by_an_address_without_a_file(edge: Edge) -> None:
    host, port = address_of(edge)
    for name in (f"{host}:{port}", f"localhost:{port}"):
        result = await splicer("status", "--json", "--admin", name)
        assert result.code == 0, result
        assert json.loads(result.out)["version"]


async def test_what_can_not_be_asked(edge: Edge) -> None:
    """One clear line each."""
    nobody = f"127.0.0.1:{free_port()}"
    for words, why in (
        (("status", "--admin", nobody), "connection refused"),
        (("tunnels", "list", "--admin", "{}:{}".format(*edge.address)), "is this the admin address of a splicer?"),
        (("tunnels", "drain", "--pod", "nobody", "-c", str(edge.path)), "nobody"),
        (("tunnels", "drain", "--route", "nowhere", "-c", str(edge.path)), "nowhere"),
        (("status", "-c", "/nowhere/routing.toml"), "/nowhere/routing.toml"),
    ):
        result = await splicer(*words)
        assert (result.code, result.out) == (1, "")
        assert why in result.err
    assert (await ask(edge.address, "GET", "/ready")).status == 200


async def test_a_file_without_an_admin_address(tmp_path: Path) -> None:
    file = tmp_path / "routing.toml"
    file.write_text(several(Site(pods=1), 1))
    result = await splicer("status", "-c", file)
    assert result.code == 1
    assert 'admin = "off"' in result.err
