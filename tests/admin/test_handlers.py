from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from splicer import __version__
from splicer.config.dump import as_tables
from splicer.config.load import load
from splicer.configfile.read import Prepared, prepare
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


async def test_no_pid_is_told_while_a_slot_has_two_processes() -> None:
    async with rig(None) as admin:
        admin.worker(1)
        _show(admin, 1, 1)
        _show(admin, 2, 1)
        workers = (await admin.ask("GET", "/status"))[1]["workers"]
        assert [worker.get("pid") for worker in workers] == [None, None]
        _show(admin, 2, 0)
        admin.worker(1)
        assert "pid" not in (await admin.ask("GET", "/status"))[1]["workers"][0]


async def test_a_mover_is_told_while_the_processes_of_a_slot_have_the_same() -> None:
    async with rig(None) as admin:
        _show(admin, 1, 1)
        told = []
        for mover in ("", "native", "native", "python"):
            admin.worker(1, mover=mover)
            told.append((await admin.ask("GET", "/status"))[1]["workers"][0].get("mover"))
    assert told == [None, "native", "native", None]


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


async def test_the_newest_configuration_wins_and_one_that_can_not_be_read_changes_nothing() -> None:
    async with rig() as admin:
        for port in (*range(9000, 9020), "x", 9100):
            admin.current.learn(CONFIG.replace('"pods.test:8000', f'"pods.test:{port}'))
        await _until_its_port_is(admin, "9100")
        admin.current.learn(_BROKEN)
        admin.current.learn(CONFIG)
        await _until_its_port_is(admin, "8000")
        admin.current.learn(_BROKEN)
        await trio.to_thread.run_sync(admin.wait_for_a_line)
        await _until_its_port_is(admin, "8000")
        [line] = admin.logged()
        assert (line["event"], line["file"]) == ("config_unread", "routing.toml")
        assert "listen" in line["error"]


# Two at a time could overtake each other.
async def test_one_configuration_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[str] = []
    together: list[int] = []

    def slowly(text: str, path: Path, environ: Mapping[str, str]) -> Prepared:
        reading.append(text)
        time.sleep(0.02)
        together.append(len(reading))
        reading.remove(text)
        return prepare(text, path, environ)

    monkeypatch.setattr("splicer.admin.current_config.prepare", slowly)
    async with rig() as admin:
        for port in (9001, 9002, 9003):
            admin.current.learn(CONFIG.replace('"pods.test:8000', f'"pods.test:{port}'))
            await trio.sleep(0.01)
        await _until_its_port_is(admin, "9003")
        assert set(together) == {1}


async def _until_its_port_is(admin: Rig, port: str) -> None:
    with trio.fail_after(20):
        while not (await admin.current.config()).upstreams["any-pod"].text.endswith(port):  # noqa: ASYNC110 - a test
            await trio.sleep(0.01)


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
