"""The session's observers: metrics, endpoint states and log, called one after another."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from attrs import define, field

from splicer.errors import SplicerError
from splicer.model import Record
from splicer.observe.access_log import AccessLog
from splicer.observe.metrics import Metrics
from splicer.relay.api import TunnelView
from splicer.upstream.status import EndpointStates

_LOG_INTERVAL = 10.0  # seconds between two lines about failed observers


@define
class Observers:
    """The session's observer. Metrics come first: a process may be killed before it has written its log line.

    Invariant: if one observer raises, even for lack of memory, that is counted, and neither the others nor the call are
    affected.
    """

    metrics: Metrics
    endpoints: EndpointStates
    log: AccessLog
    _told_at: float = field(default=-math.inf, init=False)

    def tunnel_opened(self, record: Record) -> None:
        """See `session.context.Observer`."""
        self._tell(self.metrics.tunnel_opened, record)
        self._tell(self.endpoints.learn, record)
        self._tell(self.log.tunnel_opened, record)

    def tunnel_goes_on(self, tunnel: TunnelView[Record]) -> None:
        """The tunnel has been open for another `log.progress` interval."""
        self._tell(self.log.tunnel_goes_on, tunnel)

    def tunnel_over(self, record: Record) -> None:
        """See `session.context.Observer`."""
        self._tell(self.metrics.tunnel_over, record)

    def tunnel_closed(self, record: Record) -> None:
        """See `session.context.Observer`."""
        self._tell(self.log.tunnel_closed, record)

    def exchange_ended(self, record: Record) -> None:
        """See `session.context.Observer`."""
        self._tell(self.metrics.exchange_ended, record)
        self._tell(self.endpoints.learn, record)
        self._tell(self.log.exchange_ended, record)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `session.context.Observer`."""
        self._tell(self.metrics.connection_refused, client, error)
        self._tell(self.log.connection_refused, client, error)

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `session.context.Observer`."""
        self._tell(self.metrics.crashed, client, record, error)
        self._tell(self.log.crashed, client, record, error)

    def say(self, line: Callable[..., None], event: str, **fields: Any) -> None:
        """Log another event; an error in logging is counted, not raised.

        Args:
            line: the logger's method for the level.
            event: the event's name.
            fields: the event's fields.
        """
        self._tell(partial(line, event, **fields))

    def _tell(self, tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001 - see the invariant
            with suppress(Exception):
                self._note(error)

    def _note(self, error: Exception) -> None:
        self.metrics.observer_failed()
        now = trio.current_time()
        if now - self._told_at >= _LOG_INTERVAL:
            self._told_at = now
            text = "".join(traceback.format_exception(error))[-2000:]
            self.log.log.error("observer_failed", error=repr(error), traceback=text)
