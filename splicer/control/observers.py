"""All who are told by the session what happened."""

from __future__ import annotations

from attrs import frozen

from splicer.control.accesslog import AccessLog
from splicer.control.endpoints import EndpointStates
from splicer.control.metrics import Metrics
from splicer.errors import SplicerError
from splicer.model import Record


@frozen
class Observers:
    """The session's observer. What is counted comes first: a process may be killed before it has written its line."""

    metrics: Metrics
    endpoints: EndpointStates
    log: AccessLog

    def tunnel_opened(self, record: Record) -> None:
        """See `session.house.Observer`."""
        self.metrics.tunnel_opened(record)
        self.endpoints.learn(record)
        self.log.tunnel_opened(record)

    def tunnel_over(self, record: Record) -> None:
        """See `session.house.Observer`."""
        self.metrics.tunnel_over(record)

    def tunnel_closed(self, record: Record) -> None:
        """See `session.house.Observer`."""
        self.log.tunnel_closed(record)

    def exchange_ended(self, record: Record) -> None:
        """See `session.house.Observer`."""
        self.metrics.exchange_ended(record)
        self.endpoints.learn(record)
        self.log.exchange_ended(record)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """See `session.house.Observer`."""
        self.metrics.connection_refused(client, error)
        self.log.connection_refused(client, error)

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """See `session.house.Observer`."""
        self.metrics.crashed(client, record, error)
        self.log.crashed(client, record, error)
