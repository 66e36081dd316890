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


def _told(what: str, *arguments: Any) -> list[tuple[str, str, tuple[Any, ...]]]:
    notes: list[tuple[str, str, tuple[Any, ...]]] = []
    metrics, endpoints, log = (Ear(name, notes) for name in ("metrics", "endpoints", "log"))
    observers: Observer = Observers(cast("Metrics", metrics), cast("EndpointStates", endpoints), cast("AccessLog", log))
    getattr(observers, what)(*arguments)
    return notes


# A process may be killed between the two: what was logged must have been counted.
@pytest.mark.parametrize("what", ["tunnel_opened", "exchange_ended"])
def test_a_request_is_counted_then_learnt_from_then_logged(what: str) -> None:
    told = [("metrics", what), ("endpoints", "learn"), ("log", what)]
    assert _told(what, _RECORD) == [(who, method, (_RECORD,)) for who, method in told]


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("connection_refused", ("192.0.2.7", TooManyConnections())),
        ("crashed", ("192.0.2.7", _RECORD, ZeroDivisionError())),
    ],
)
def test_what_goes_wrong_is_counted_then_logged(what: str, arguments: tuple[Any, ...]) -> None:
    assert _told(what, *arguments) == [("metrics", what, arguments), ("log", what, arguments)]


def test_the_end_of_a_tunnel_is_counted_once_and_logged_once() -> None:
    assert _told("tunnel_over", _RECORD) == [("metrics", "tunnel_over", (_RECORD,))]
    assert _told("tunnel_closed", _RECORD) == [("log", "tunnel_closed", (_RECORD,))]
