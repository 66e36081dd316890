"""The session's observers as one: called one after another, and none affected by another's error."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec

import trio

from splicer.errors import SplicerError
from splicer.hook_settings import HookOutcome
from splicer.observe.log import Logger
from splicer.observer import Observer
from splicer.record import Record
from splicer.tls_facts import TlsFailure

_LOG_INTERVAL = 10.0  # seconds between two lines about failed observers

P = ParamSpec("P")


class Observers(Observer):
    """Calls several observers in their order.

    Invariant: if one observer raises, even for lack of memory, that is counted, and neither the others nor the call are
    affected.

    Args:
        failed: called for each error, to count it.
        log: the logger for errors.
    """

    def __init__(self, failed: Callable[[], None], log: Logger) -> None:
        self._failed = failed
        self._log = log
        self._told_at = -math.inf
        self.listen(())

    def listen(self, observers: tuple[Observer, ...]) -> None:
        """Call these observers from now on.

        Args:
            observers: those that count come before those that log: a process may be killed before it has written its
                line.
        """
        self._opened = tuple(each.tunnel_opened for each in observers if _listens(each, "tunnel_opened"))
        self._over = tuple(each.tunnel_over for each in observers if _listens(each, "tunnel_over"))
        self._closed = tuple(each.tunnel_closed for each in observers if _listens(each, "tunnel_closed"))
        self._ended = tuple(each.exchange_ended for each in observers if _listens(each, "exchange_ended"))
        self._refused = tuple(each.connection_refused for each in observers if _listens(each, "connection_refused"))
        self._empty = tuple(each.connection_empty for each in observers if _listens(each, "connection_empty"))
        self._hook_called = tuple(each.hook_called for each in observers if _listens(each, "hook_called"))
        self._hook_blocked = tuple(each.hook_blocked for each in observers if _listens(each, "hook_blocked"))
        self._established = tuple(each.tls_established for each in observers if _listens(each, "tls_established"))
        self._tls_failed = tuple(each.tls_failed for each in observers if _listens(each, "tls_failed"))
        self._crashed = tuple(each.crashed for each in observers if _listens(each, "crashed"))

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`."""
        self._tell(self._opened, record)

    def tunnel_over(self, record: Record) -> None:
        """See `Observer`."""
        self._tell(self._over, record)

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        self._tell(self._closed, record)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        self._tell(self._ended, record)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `Observer`."""
        self._tell(self._refused, client, error)

    def connection_empty(self, peer: str) -> None:
        """See `Observer`."""
        self._tell(self._empty, peer)

    def hook_called(self, record: Record, hook: str, outcome: HookOutcome, seconds: float, reason: str | None) -> None:
        """See `Observer`."""
        self._tell(self._hook_called, record, hook, outcome, seconds, reason)

    def hook_blocked(self, hook: str, seconds: float) -> None:
        """See `Observer`."""
        self._tell(self._hook_blocked, hook, seconds)

    def tls_established(self, side: str, profile: str, seconds: float) -> None:
        """See `Observer`."""
        self._tell(self._established, side, profile, seconds)

    def tls_failed(self, side: str, peer: str, profile: str, failure: TlsFailure) -> None:
        """See `Observer`."""
        self._tell(self._tls_failed, side, peer, profile, failure)

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `Observer`."""
        self._tell(self._crashed, client, record, error)

    def guarded(self, tell: Callable[P, None]) -> Callable[P, None]:
        """Wrap another function so that the invariant holds for it too."""
        return partial(self._tell, (tell,))

    def say(self, line: Callable[..., None], event: str, **fields: Any) -> None:
        """Log another event; an error in logging is counted, not raised.

        Args:
            line: the logger's method for the level.
            event: the event's name.
            fields: the event's fields.
        """
        self._tell((partial(line, event, **fields),))

    def _tell(self, listeners: tuple[Callable[..., None], ...], *what: object) -> None:
        for tell in listeners:
            try:
                tell(*what)
            except Exception as error:  # noqa: BLE001 - see the invariant
                with suppress(Exception):
                    self._note(error)

    def _note(self, error: Exception) -> None:
        self._failed()
        now = trio.current_time()
        if now - self._told_at >= _LOG_INTERVAL:
            self._told_at = now
            text = "".join(traceback.format_exception(error))[-2000:]
            self._log.error("observer_failed", error=repr(error), traceback=text)


# A method that an observer doesn't override does nothing: calling it for each call would be a waste.
def _listens(observer: Observer, event: str) -> bool:
    return getattr(type(observer), event) is not getattr(Observer, event)
