"""The events of the session, as methods of a base class."""

from __future__ import annotations

from splicer.errors import SplicerError
from splicer.hook_settings import HookOutcome
from splicer.record import Record
from splicer.tls_facts import TlsFailure


class Observer:
    """The base class of observers. Its methods do nothing: an observer overrides those for the events that it needs.

    No method may block.
    """

    def tunnel_opened(self, record: Record) -> None:
        """The 101 was sent towards the client."""

    def tunnel_over(self, record: Record) -> None:
        """A tunnel is over, and the vault knows it. It must be counted at once: the process may be killed."""

    def tunnel_closed(self, record: Record) -> None:
        """The same tunnel is over; called later, when there is time for a log line."""

    def exchange_ended(self, record: Record) -> None:
        """A request was answered without a tunnel, refused, or given up."""

    def connection_refused(self, client: str, error: SplicerError) -> None:
        """A connection was turned away before its request was read."""

    def connection_empty(self, peer: str) -> None:
        """A load balancer has connected and sent nothing, as its health checks do."""

    def hook_called(self, record: Record, hook: str, outcome: HookOutcome, seconds: float, reason: str | None) -> None:
        """A hook has decided about a request, or has failed for a reason."""

    def hook_blocked(self, hook: str, seconds: float) -> None:
        """A hook has kept the event loop to itself for so long at once."""

    def tls_established(self, side: str, profile: str, seconds: float) -> None:
        """A TLS handshake with a "client" or a "pod" has succeeded after so many seconds."""

    def tls_failed(self, side: str, peer: str, profile: str, failure: TlsFailure) -> None:
        """A TLS handshake with a "client" or a "pod" has failed."""

    def crashed(self, client: str, record: Record | None, error: Exception) -> None:
        """A bug ended one connection."""
