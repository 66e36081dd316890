"""A worker's own log lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from splicer.worker.worker_log import WorkerLog


class Lines:
    """A logger and its observers: the lines, each with its level."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.said = 0

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def say(self, line: Callable[..., None], event: str, **fields: Any) -> None:
        self.said += 1
        line(event, **fields)


@pytest.fixture
def lines() -> Lines:
    return Lines()


def _log(lines: Lines) -> WorkerLog:
    log = WorkerLog(lambda: 7)
    log.begin(cast("Any", lines), cast("Any", lines))
    return log


def test_what_comes_before_it_knows_how_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    log = WorkerLog(lambda: 7)
    log.error("reload_failed")
    log.vault_event("vault_connected")
    log.vault_event("vault_lost")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("tell", "line"),
    [
        (lambda log: log.error("reload_failed", kept="x"), ("error", "reload_failed", {"kept": "x"})),
        (lambda log: log.vault_event("vault_lost"), ("error", "vault_lost", {"tunnels": 7})),
        (lambda log: log.room_made(3), ("error", "idle_connections_closed", {"connections": 3, "tunnels": 7})),
        (
            lambda log: log.garbage_found(5, 0.0125),
            ("error", "garbage_found", {"objects": 5, "ms": 12.5, "tunnels": 7}),
        ),
        (lambda log: log.drains_failed(KeyError("x")), ("error", "drains_not_followed", {"error": "KeyError('x')"})),
        (lambda log: log.query_failed(KeyError("x")), ("error", "query_failed", {"error": "KeyError('x')"})),
        (lambda log: log.adoption_failed("why"), ("error", "adoption_failed", {"error": "why"})),
        (lambda log: log.order_refused("serve", "why"), ("error", "order_refused", {"order": "serve", "error": "why"})),
    ],
)
def test_each_line_says_what_there_is_to_know(
    lines: Lines, tell: Callable[[WorkerLog], None], line: tuple[str, str, dict[str, Any]]
) -> None:
    tell(_log(lines))
    assert lines.lines == [line]
    assert lines.said == 1, "a line that can't be written concerns nobody"


def test_a_vault_that_is_there_is_news_only_after_it_was_away(lines: Lines) -> None:
    log = _log(lines)
    log.vault_event("vault_connected")
    assert lines.lines == []
    log.vault_event("vault_lost")
    log.vault_event("vault_connected")
    assert lines.lines[1:] == [("info", "vault_connected", {"tunnels": 7})]


def test_a_collection_that_found_nothing_is_not_told(lines: Lines) -> None:
    _log(lines).garbage_found(0, 0.01)
    assert lines.lines == []


# Nothing is between it and the logger: the process ends right after.
def test_a_crash_is_logged_with_its_traceback(lines: Lines) -> None:
    _log(lines).crash(ZeroDivisionError("a bug"))
    [(level, event, fields)] = lines.lines
    assert (level, event, fields["error"], lines.said) == ("error", "worker_crash", "ZeroDivisionError('a bug')", 0)
    assert fields["traceback"].endswith("ZeroDivisionError: a bug\n")


def test_a_crash_before_there_is_a_log_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    WorkerLog(lambda: 0).crash(ZeroDivisionError("a bug"))
    assert capsys.readouterr().err.endswith("ZeroDivisionError: a bug\n\n")
