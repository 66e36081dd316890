from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from splicer.supervisor.sd_notify import SdNotify
from tests.supervisor.manager import Manager, manager_at

Said = list[dict[str, Any]]


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    with manager_at(tmp_path / "notify" if request.param == "path" else None) as manager:
        yield manager


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def log(said: Said) -> Callable[..., None]:
    return lambda event, **fields: said.append({"event": event, **fields})


def test_lines_come_in_one_message(manager: Manager, log: Callable[..., None], said: Said) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name}, log)) as notify:
        assert notify.wanted
        assert notify.send("READY=1", "STATUS=well")
    assert manager.take() == [["READY=1", "STATUS=well"]]
    assert manager.pids == {os.getpid()}
    assert said == []


def test_without_a_manager_nothing_is_done(log: Callable[..., None], said: Said) -> None:
    with closing(SdNotify({"WATCHDOG_USEC": "1"}, log)) as notify:
        assert not notify.wanted
        assert not notify.send("READY=1")
        notify.beat()
    assert said == []


@pytest.mark.parametrize("name", ["notify", "vsock:2:1234", "@", "/"])
def test_an_address_that_is_none_is_told_of_once(name: str, log: Callable[..., None], said: Said) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": name}, log)) as notify:
        assert not notify.wanted
        assert not notify.send("READY=1")
    assert [(line["event"], line["socket"]) for line in said] == [("notify_failed", name)]


@pytest.mark.parametrize("directory", ["gone", "x" * 200])
def test_a_manager_that_is_gone_is_told_of_once_until_it_is_back(
    tmp_path: Path, directory: str, log: Callable[..., None], said: Said
) -> None:
    path = tmp_path / directory
    with closing(SdNotify({"NOTIFY_SOCKET": str(path)}, log)) as notify:
        for _ in range(3):
            assert not notify.send("READY=1")
        assert len(said) == 1
        assert said[0]["event"] == "notify_failed"
        assert said[0]["error"]
        if len(directory) > 100:  # longer than an address can be, unix(7)
            return
        with manager_at(path):
            assert notify.send("READY=1")
        assert not notify.send("READY=1")
        assert len(said) == 2


def test_a_manager_that_does_not_read_is_not_waited_for(manager: Manager, log: Callable[..., None], said: Said) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name}, log)) as notify:
        sent = 0
        while notify.send("STATUS=" + "x" * 1000):
            sent += 1
            assert sent < 100_000, "its socket is never full"
        assert len(said) == 1
        assert len(manager.take()) == sent
        assert notify.send("READY=1")


def test_a_name_that_is_no_text_is_sent_nevertheless(manager: Manager, log: Callable[..., None]) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name}, log)) as notify:
        assert notify.send("STATUS=\udcff")
    assert manager.take() == [["STATUS=?"]]


def test_children_do_not_get_it_and_the_next_program_does(manager: Manager, log: Callable[..., None]) -> None:
    given = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    environ = {"PATH": "/bin", **given}
    with closing(SdNotify(environ, log)) as notify:
        assert environ == {"PATH": "/bin"}
        with notify.exported():
            assert environ == {"PATH": "/bin", **given}
        assert environ == {"PATH": "/bin"}
        with pytest.raises(OSError, match="no exec"), notify.exported():
            raise OSError("no exec")
        assert environ == {"PATH": "/bin"}


def beats(manager: Manager) -> int:
    return manager.take().count(["WATCHDOG=1"])


@pytest.mark.parametrize("pid", [{}, {"WATCHDOG_PID": str(os.getpid())}])
def test_a_beat_at_half_the_time(manager: Manager, clock: Clock, log: Callable[..., None], pid: dict[str, str]) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "10000000", **pid}, log)) as notify:
        for seconds, count in ((0.0, 1), (4.9, 0), (0.2, 1), (0.0, 0), (60.0, 1)):
            clock.now += seconds
            notify.beat()
            notify.beat()
            assert beats(manager) == count
            assert clock.now < notify.due <= clock.now + 5.0
    assert notify.due == math.inf


def test_a_beat_that_was_not_taken_comes_again_in_time(tmp_path: Path, clock: Clock, log: Callable[..., None]) -> None:
    path = tmp_path / "notify"
    with closing(SdNotify({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "10000000"}, log)) as notify:
        notify.beat()
        with manager_at(path) as manager:
            notify.beat()
            assert beats(manager) == 0  # not at each turn of a busy loop
            clock.now += 1.0
            notify.beat()
            assert beats(manager) == 1


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "10", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}])
def test_no_beat_where_none_is_wanted(manager: Manager, log: Callable[..., None], more: dict[str, str]) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name, **more}, log)) as notify:
        notify.beat()
        assert notify.due == math.inf
    assert beats(manager) == 0


# The loop makes a turn for each.
def test_beats_are_not_as_fast_as_a_manager_may_ask(manager: Manager, clock: Clock, log: Callable[..., None]) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "2"}, log)) as notify:
        notify.beat()
        assert notify.due == clock.now + 0.02


def test_a_time_that_is_none_is_told_of(manager: Manager, log: Callable[..., None], said: Said) -> None:
    with closing(SdNotify({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "30s"}, log)) as notify:
        notify.beat()
        assert notify.send("READY=1")
    assert [line["event"] for line in said] == ["notify_failed"]
    assert "WATCHDOG_USEC" in said[0]["error"]
