"""`splicer run --to`: an edge without a file, and the log that a person sees on a terminal."""

from __future__ import annotations

import json
import re

import pytest
import trio

from tests.e2e.bare import running_bare
from tests.e2e.test_command_line import splicer
from tests.kit.calls import handshake
from tests.kit.fleet import echoes
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import free_port
from tests.kit.wire import ask, dial, until


async def test_requests_and_calls_go_to_that_address(nursery: trio.Nursery) -> None:
    plain, calls = free_port(), free_port()
    await http_pod(nursery, "127.0.0.1", plain)
    await tunnel_pod(nursery, "127.0.0.1", calls)
    with running_bare("--admin", "off", "--to", f":{plain}", "--listen", "127.0.0.1:0") as edge:
        reply = await ask(await edge.address(), "GET", "/any/path?x=y", host="any.host")
        assert (reply.status, reply.body) == (200, b"127.0.0.1")
        assert (await edge.event("exchange"))["path"] == "/any/path"
        file = edge.file
        assert f'address = "127.0.0.1:{plain}"' in file.read_text()

        file.write_text(file.read_text().replace(f":{plain}", f":{calls}"))
        reloaded = await splicer("reload", "-c", file)
        assert (reloaded.code, reloaded.err) == (0, "")
        async with dial(await edge.address()) as wire:
            await wire.send(handshake("/call"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            await echoes(wire)
        assert await edge.ends() == 0
        assert not file.exists()


@pytest.mark.slow
async def test_its_file_outlives_an_upgrade(nursery: trio.Nursery) -> None:
    port = free_port()
    await tunnel_pod(nursery, "127.0.0.1", port)
    with running_bare("--admin", "off", "--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0") as edge:
        async with dial(await edge.address()) as wire:
            await wire.send(handshake("/call"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
            file = edge.file
            upgraded = await splicer("upgrade", "--pid", str(edge.process.pid))
            assert (upgraded.code, upgraded.err) == (0, "")
            assert file.exists()
            await echoes(wire)
        assert await edge.ends() == 0
        assert not file.exists()


async def test_no_file_is_left_by_an_edge_that_can_not_start() -> None:
    taken = free_port()
    [listener] = await trio.open_tcp_listeners(taken, host="127.0.0.1")
    async with listener:
        with running_bare("--admin", "off", "--to", ":1", "--listen", f"127.0.0.1:{taken}") as edge:
            await until(lambda: edge.process.poll() is not None)
            assert edge.process.returncode == 1
            await until(lambda: "in use" in edge.errors)
    [path] = re.findall(r"(/\S*/splicer-run-\S*\.toml)", edge.errors)
    assert not await trio.Path(path).exists()


async def test_on_a_terminal_the_log_is_for_a_person(nursery: trio.Nursery) -> None:
    to, port = free_port(), free_port()
    await http_pod(nursery, "127.0.0.1", to)
    with running_bare("--admin", "off", "--to", f":{to}", "--listen", f"127.0.0.1:{port}", terminal=True) as edge:
        await until(lambda: " ready " in edge.text)
        assert (await ask(("127.0.0.1", port), "GET", "/seen")).status == 200
        await until(lambda: "/seen" in edge.text)
        assert await edge.ends() == 0
        await until(lambda: "stopped" in edge.text)
    lines = edge.text.splitlines()
    assert {"worker_serving", "ready", "exchange", "stopped"} <= {
        word for line in lines for word in plain(line).split()
    }
    for line in lines:
        with pytest.raises(json.JSONDecodeError):
            json.loads(line)


def plain(text: str) -> str:
    """The text without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
