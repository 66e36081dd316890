"""The lines about hooks: a hook that fails for each request does not fill the log."""

from __future__ import annotations

from typing import Any, cast

import trio

from splicer.observe.hook_log import HookLog
from splicer.observe.log import Logger
from splicer.record import Record

_RECORD = Record("0123456789abcdef", "192.0.2.7", 1.0, route="call")


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))


async def test_failures_have_ten_lines_in_ten_seconds_each(autojump_clock: trio.testing.MockClock) -> None:
    lines = Lines()
    log = HookLog(cast("Logger", lines))
    for _ in range(2):
        for _ in range(25):
            log.hook_called(_RECORD, "a", "failed", 0.1, "a bug")
        await trio.sleep(10)
    log.hook_called(_RECORD, "b", "deadline", 0.1, "late")
    assert len(lines.lines) == 21
    assert lines.lines[0] == (
        "error",
        "hook_failed",
        {"hook": "a", "id": _RECORD.id, "route": "call", "outcome": "failed", "error": "a bug"},
    )
    assert lines.lines[-1][2]["hook"] == "b"


async def test_what_is_fine_has_none(autojump_clock: trio.testing.MockClock) -> None:
    lines = Lines()
    log = HookLog(cast("Logger", lines))
    log.hook_called(_RECORD, "a", "continued", 0.1, None)
    log.hook_called(_RECORD, "a", "answered", 0.1, None)
    assert lines.lines == []


async def test_blocking_is_told_once_in_ten_seconds(autojump_clock: trio.testing.MockClock) -> None:
    lines = Lines()
    log = HookLog(cast("Logger", lines))
    for _ in range(3):
        log.hook_blocked("a", 0.0051234)
        log.hook_blocked("b", 0.1)
        await trio.sleep(6)
    assert [fields["hook"] for _, _, fields in lines.lines] == ["a", "b", "a", "b"]
    assert lines.lines[0] == ("warning", "hook_blocks", {"hook": "a", "ms": 5.123})
