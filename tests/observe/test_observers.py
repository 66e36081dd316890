"""Who is told of what, and in which order."""

from __future__ import annotations

from typing import Any, cast

import pytest

from splicer.errors import TooManyConnections
from splicer.model import Record
from splicer.observe.access_log import AccessLog
from splicer.observe.metrics import Metrics
from splicer.observe.observers import Observers
from splicer.session.context import Observer
from splicer.upstream.status import EndpointStates

_RECORD = Record("0123456789abcdef", "192.0.2.7", 1.0)


class Ear:
    """Notes what it hears."""

    log: Any

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


class Faulty(Ear):
    """Hears, and fails at everything but this."""

    def __init__(
        self,
        name: str,
        notes: list[tuple[str, str, tuple[Any, ...]]],
        succeeds: tuple[str, ...] = ("observer_failed", "error"),
    ) -> None:
        super().__init__(name, notes)
        self._succeeds = succeeds

    def __getattr__(self, what: str) -> Any:
        heard = super().__getattr__(what)

        def fails(*arguments: Any, **_: Any) -> None:
            heard(*arguments)
            if what not in self._succeeds:
                raise MemoryError

        return fails


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("tunnel_opened", (_RECORD,)),
        ("tunnel_goes_on", (None,)),
        ("tunnel_over", (_RECORD,)),
        ("tunnel_closed", (_RECORD,)),
        ("exchange_ended", (_RECORD,)),
        ("connection_refused", ("192.0.2.7", TooManyConnections())),
        ("crashed", ("192.0.2.7", _RECORD, ZeroDivisionError())),
    ],
)
async def test_what_one_does_wrong_concerns_no_other_and_is_counted(what: str, arguments: tuple[Any, ...]) -> None:
    heard = {who for who, *_ in _told(what, *arguments)}
    notes: list[tuple[str, str, tuple[Any, ...]]] = []
    metrics, endpoints, log = (Faulty(name, notes) for name in ("metrics", "endpoints", "log"))
    logger = Faulty("logger", notes)
    log.log = logger
    observers = Observers(cast("Metrics", metrics), cast("EndpointStates", endpoints), cast("AccessLog", log))
    getattr(observers, what)(*arguments)
    observers.say(logger.info, "vault_connected")
    told = [(who, method) for who, method, _ in notes]
    assert {who for who, _ in told} == heard | {"metrics", "logger"}
    assert told.count(("metrics", "observer_failed")) == len(heard) + 1
    assert told.count(("logger", "error")) == 1, "a line says so, and not one for each"


async def test_nor_does_it_matter_if_that_can_not_be_said_either() -> None:
    metrics = Faulty("metrics", [], ())
    observers = Observers(cast("Metrics", metrics), cast("EndpointStates", metrics), cast("AccessLog", metrics))
    observers.crashed("192.0.2.7", _RECORD, ZeroDivisionError())
