from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from splicer import __version__
from splicer.config.dump import as_tables
from splicer.config.load import load
from splicer.explain import explain
from splicer.ipc.board import Column
from splicer.ipc.facts import Reloads
from tests.admin.rig import CONFIG, Rig, rig
from tests.kit.wire import ask

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
_BROKEN = "[server]\nlisten = 7\n"


def _show(admin: Rig, row: int, slot: int, **values: int) -> None:
    for name, value in {"SLOT": slot, **values}.items():
        admin.board.row(row)[Column[name]] = value


async def test_healthz_and_metrics() -> None:
    async with rig(None) as admin:
        assert await admin.ask("GET", "/healthz") == (200, b"ok\n")
        assert await admin.ask("GET", "/metrics") == (200, b"splicer_up 1\n")
        page = await ask(admin.address, "GET", "/metrics", "Connection: close", host="localhost")
        assert page.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"


async def test_status() -> None:
    async with rig(None) as admin:
        reloads = Reloads(ok=2, failed=1, last_ok=False, last_at=1_700_000_000.25)
        admin.learn(generation=3, restarts=5, reloads=reloads)
        admin.worker(1, mover="native")
        _show(admin, 0, 0, ACCEPTED=1000, HANDLED=999, REQUESTS=5000)  # of the dead
        _show(admin, 1, 2, TUNNELS=2, EXCHANGES=3, ACCEPTED=10, HANDLED=9, REQUESTS=50, READING=4, WRITING=5, WAITING=6)
        _show(admin, 2, 0, BEAT=7)  # the spare
        _show(admin, 255, 1, TUNNELS=7, ACCEPTED=1, WAITING=1)
        status, body = await admin.ask("GET", "/status")
        assert status == 200
        assert body.pop("uptime_s") > 0
        assert body == {
            "version": __version__,
            "generation": 3,
            "draining": False,
            "drains": [],
            "remaining": 9,
            "workers": [
                {"slot": 1, "pid": 1001, "tunnels": 7, "exchanges": 0, "connections": 1, "mover": "native"},
                {"slot": 2, "tunnels": 2, "exchanges": 3, "connections": 15},
            ],
            "totals": {"accepted": 1011, "handled": 1008, "requests": 5050, "active": 16, "tunnels": 9},
            "config": {
                "last_reload": {"ok": False, "at": "2023-11-14T22:13:20.250000Z"},
                "reloads": {"ok": 2, "failed": 1},
            },
            "restarts": 5,
        }


async def test_status_needs_no_time_of_a_reload() -> None:
    async with rig(None) as admin:
        _, body = await admin.ask("GET", "/status")
        assert body["config"]["last_reload"]["at"] is None


async def test_the_configuration_in_force() -> None:
    async with rig() as admin:
        assert await admin.ask("GET", "/config") == (200, as_tables(load(CONFIG, environ={})))


async def test_before_there_is_one_it_is_waited_for(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(None) as admin:
        admin.nursery.start_soon(_later, admin)
        assert (await admin.ask("GET", "/config"))[0] == 200


async def _later(admin: Rig) -> None:
    await trio.sleep(1)
    admin.current.learn(CONFIG)


@pytest.mark.parametrize("path", ["/config", "/upstreams", "/explain?target=/x"])
async def test_if_none_comes_that_is_said(path: str, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(None) as admin:
        error = "the configuration has not been read yet; the log may say why"
        assert await admin.ask("GET", path) == (503, {"error": error})


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("target=/ws/pod/pod-1/x", ("GET", "/ws/pod/pod-1/x", [])),
        ("method=POST&target=/health?a=b%26c", ("POST", "/health?a=b&c", [])),
        ("target=/x&header=Host:%20a.test&header=X:+y", ("GET", "/x", ["Host: a.test", "X: y"])),
        ("target=/x&header=A:%0D%0A%0D%0AGET%20/health", ("GET", "/x", ["A:\r\n\r\nGET /health"])),
        ("target=", ("GET", "", [])),
        ("target=%C3%BC", ("GET", "ü", [])),
    ],
)
async def test_explain_says_what_the_command_says(query: str, arguments: tuple[str, str, list[str]]) -> None:
    async with rig() as admin:
        said = explain(load(CONFIG, environ={}), *arguments)
        assert await admin.ask("GET", f"/explain?{query}") == (200, {"found": said.found, "lines": list(said.lines)})


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("method=GET", "the target is missing: /explain?target=/path"),
        ("target=/&target=/x", "target is there 2 times"),
        ("target=/&colour=red", "unknown parameter 'colour'; known are: header, method, target"),
    ],
)
async def test_explain_needs_one_target(query: str, error: str) -> None:
    async with rig() as admin:
        assert await admin.ask("GET", f"/explain?{query}") == (400, {"error": error})
