"""What the log tells of a long call while it lives, and of its lines to both peers at the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, Line, running
from tests.kit.fleet import echoes, kill_worker_of, several
from tests.kit.site import Place, Site

_INTERVAL = 200  # milliseconds
_QUALITY = ("client_rtt_ms", "client_retransmits", "pod_rtt_ms", "pod_retransmits")


def text(site: Site, progress: str = f"{_INTERVAL}ms") -> str:
    return several(site, extra=f'[log]\nprogress = "{progress}"\n')


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(text(site), site) as edge:
        yield edge


def is_of_its_line(line: Line) -> None:
    for key in _QUALITY:
        assert line[key] >= 0, key
    assert line["client_rtt_ms"] > 0
    assert line["pod_rtt_ms"] > 0


async def test_a_line_every_interval(edge: Edge, place: Place) -> None:
    async with tunnel(edge, f"/ws/{place.name}/a", source="127.0.0.8") as call:
        opened = await edge.line("tunnel_open", path=f"/ws/{place.name}/a")
        await echoes(call, bytes(1234))
        lines = await edge.wait_lines(4, "tunnel_progress", id=opened["id"])
    closed = await edge.line("tunnel_close", id=opened["id"])
    for line in lines:
        same = line.keys() & opened.keys() - {"event", "time"}
        assert same >= {"id", "route", "client", "method", "host", "path", "pod"}
        assert {key: line[key] for key in same} == {key: opened[key] for key in same}
        assert (line["bytes_to_pod"], line["bytes_to_client"]) == (1234, 1234)
        assert 0 <= line["idle_ms"] <= line["duration_ms"] <= closed["duration_ms"]
        assert line["adopted"] == 0
        is_of_its_line(line)
    intervals = [line["duration_ms"] // _INTERVAL for line in lines]
    assert intervals[0] >= 1
    assert len(set(intervals)) == len(intervals), "two lines in one interval"


async def test_they_go_on_when_its_worker_is_killed_or_renewed(edge: Edge, place: Place) -> None:
    """Counted from the call's beginning: a new worker tells of no interval twice."""
    path = f"/ws/{place.name}/b"
    async with tunnel(edge, path) as call:
        await echoes(call, bytes(100))
        for adopted in range(3):
            told = {"adopted": adopted, "bytes_to_pod": 100 * (adopted + 1), "bytes_to_client": 100 * (adopted + 1)}
            lines = await edge.wait_lines(2, "tunnel_progress", path=path, **told)
            is_of_its_line(lines[-1])
            if adopted == 0:
                await kill_worker_of(edge, call)
            elif adopted == 1:
                edge.signal(signal.SIGUSR1)
                await edge.line("recycled")
            if adopted < 2:
                await echoes(call, bytes(100))
    intervals = [line["duration_ms"] // _INTERVAL for line in edge.find("tunnel_progress", path=path)]
    assert len(set(intervals)) == len(intervals), "two lines in one interval"


async def test_off_means_none_until_a_reload_wants_them(edge: Edge, place: Place) -> None:
    try:
        assert (await edge.reload(text(edge.site, "off")))["event"] == "reload"
        async with AsyncExitStack() as stack:
            call = await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/c"))
            await trio.sleep(3 * _INTERVAL / 1000)
            await kill_worker_of(edge, call)
            await echoes(call)
            await trio.sleep(3 * _INTERVAL / 1000)
            assert edge.find("tunnel_progress") == []
            await edge.reload(text(edge.site))
            await edge.wait_lines(2, "tunnel_progress", path=f"/ws/{place.name}/c", adopted=1)
    finally:
        await edge.reload(text(edge.site))


@pytest.mark.parametrize("adopted", [0, 1])
async def test_the_last_line_tells_of_both_lines(edge: Edge, place: Place, adopted: int) -> None:
    path = f"/ws/{place.name}/{adopted}"
    async with tunnel(edge, path) as call:
        await echoes(call, bytes(100_000))
        if adopted:
            await kill_worker_of(edge, call)
            await echoes(call)
        await call.send_eof()
        assert await call.rest() == b""
    line = await edge.line("tunnel_close", path=path)
    assert line["adopted"] == adopted
    is_of_its_line(line)
