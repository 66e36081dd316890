"""Who is told of what, and in which order."""

from __future__ import annotations

from typing import Any, cast

import pytest

from splicer.control.accesslog import AccessLog
from splicer.control.endpoints import EndpointStates
from splicer.control.metrics import Metrics
from splicer.control.observers import Observers
from splicer.errors import TooManyConnections
from splicer.model import Record
from splicer.session.house import Observer

_RECORD = Record("0123456789abcdef", "192.0.2.7", 1.0)


class Ear:
    """Notes what it hears."""

    def __init__(self, name: str, notes: list[tuple[str, str, tuple[Any, ...]]]) -> None:
        self._name = name
        self._notes = notes

    def __getattr__(self, what: str) -> Any:
        return lambda *arguments: self._notes.append((self._name, what, arguments))


# A process may be killed between the two: what was logged must have been counted.
@pytest.mark.parametrize(
    ("what", "arguments", "learns"),
    [
        ("tunnel_opened", (_RECORD,), True),
        ("tunnel_closed", (_RECORD,), False),
        ("exchange_ended", (_RECORD,), True),
        ("connection_refused", ("192.0.2.7", TooManyConnections()), False),
        ("crashed", ("192.0.2.7", _RECORD, ZeroDivisionError()), False),
    ],
)
def test_what_is_logged_has_been_counted(what: str, arguments: tuple[Any, ...], learns: bool) -> None:
    notes: list[tuple[str, str, tuple[Any, ...]]] = []
    ears = [Ear(name, notes) for name in ("metrics", "endpoints", "log")]
    observers: Observer = Observers(
        cast("Metrics", ears[0]), cast("EndpointStates", ears[1]), cast("AccessLog", ears[2])
    )
    getattr(observers, what)(*arguments)
    learnt = [("endpoints", "learn", (_RECORD,))] if learns else []
    assert notes == [("metrics", what, arguments), *learnt, ("log", what, arguments)]
