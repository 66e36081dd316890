"""Who is told of what, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from splicer.errors import TooManyConnections
from splicer.observe.access_log import AccessLog
from splicer.observe.log import Logger
from splicer.observe.metrics import Metrics
from splicer.observe.observers import Observers
from splicer.observer import Observer
from splicer.record import Record

_RECORD = Record("0123456789abcdef", "192.0.2.7", 1.0)
_EVENTS: list[tuple[str, tuple[Any, ...]]] = [
    ("tunnel_opened", (_RECORD,)),
    ("tunnel_over", (_RECORD,)),
    ("tunnel_closed", (_RECORD,)),
    ("exchange_ended", (_RECORD,)),
    ("connection_refused", ("192.0.2.7", TooManyConnections())),
    ("crashed", ("192.0.2.7", _RECORD, ZeroDivisionError())),
]
Notes = list[tuple[str, str, tuple[Any, ...]]]


def ear(name: str, notes: Notes, *events: str, then: Callable[[], None] = lambda: None) -> Observer:
    """Notes what it hears of these events (of all, if none is given), and then does something else."""

    def hearing(event: str) -> Callable[..., None]:
        def hear(_: Observer, *arguments: Any) -> None:
            notes.append((name, event, arguments))
            then()

        return hear

    heard = events or [event for event, _ in _EVENTS]
    return cast("Observer", type(name, (Observer,), {event: hearing(event) for event in heard})())


class Log:
    """A logger, and the count of what went wrong."""

    def __init__(self) -> None:
        self.failed = 0
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def fail(self) -> None:
        self.failed += 1

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


def observers(log: Log, *each: Observer) -> Observers:
    observers = Observers(log.fail, cast("Logger", log))
    observers.listen(each)
    return observers


def broken() -> None:
    raise MemoryError


@pytest.mark.parametrize(("what", "arguments"), _EVENTS)
async def test_all_are_told_in_their_order(what: str, arguments: tuple[Any, ...]) -> None:
    notes: Notes = []
    getattr(observers(Log(), *(ear(name, notes) for name in "abc")), what)(*arguments)
    assert notes == [(name, what, arguments) for name in "abc"]


@pytest.mark.parametrize(("what", "arguments"), _EVENTS)
async def test_who_does_not_listen_to_it_is_not_told(what: str, arguments: tuple[Any, ...]) -> None:
    notes: Notes = []
    others = [event for event, _ in _EVENTS if event != what]
    both = observers(Log(), ear("one", notes, *others), ear("two", notes, what), Observer())
    getattr(both, what)(*arguments)
    assert notes == [("two", what, arguments)]


@pytest.mark.parametrize(("what", "arguments"), _EVENTS)
async def test_what_one_does_wrong_concerns_no_other_and_is_counted(what: str, arguments: tuple[Any, ...]) -> None:
    notes: Notes = []
    log = Log()
    all_three = observers(log, ear("a", notes, then=broken), ear("b", notes, then=broken), ear("c", notes))
    getattr(all_three, what)(*arguments)
    assert notes == [(name, what, arguments) for name in "abc"]
    assert log.failed == 2
    [(event, fields)] = log.lines  # a line says so, and not one for each
    assert (event, fields["error"]) == ("observer_failed", "MemoryError()")
    assert "in broken" in fields["traceback"]


async def test_so_it_is_with_whatever_else_is_told() -> None:
    log = Log()
    told: list[str] = []
    all_of_them = observers(log)
    all_of_them.guarded(told.append)("heard")
    all_of_them.guarded(broken)()
    all_of_them.say(log.error, "event", slot=1)
    all_of_them.say(lambda *_, **__: broken(), "event")
    assert (told, log.failed) == (["heard"], 2)
    assert [event for event, _ in log.lines] == ["observer_failed", "event"]


async def test_nor_does_it_matter_if_that_can_not_be_said_either() -> None:
    log = Log()
    log.fail = broken  # type: ignore[method-assign]  # it has no memory either
    observers(log, ear("a", [], then=broken)).crashed("192.0.2.7", _RECORD, ZeroDivisionError())


# What the worker composes: what is logged must have been counted, for a process may be killed between the two.
def test_what_is_told_of_a_tunnel_is_listened_to_where_it_counts() -> None:
    def listens(kind: type[Observer]) -> set[str]:
        return {event for event, _ in _EVENTS if event in vars(kind)}

    all_events = {event for event, _ in _EVENTS}
    assert listens(Metrics) == all_events - {"tunnel_closed"}
    assert listens(AccessLog) == all_events - {"tunnel_over"}
