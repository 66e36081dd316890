"""One tree of errors.

Each error has the party at fault (`side`), the HTTP status for the client (`status`), a short stable word for logs
(`reason`), and whether another attempt may succeed (`another_attempt_may_help`, design §6).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Side(StrEnum):
    """The three parties to a connection."""

    CLIENT = "client"
    POD = "pod"
    PROXY = "proxy"


class SplicerError(Exception):
    """Root of all errors that splicer raises on purpose.

    `side` is the party at fault; `closer` is the party that ended the connection: splicer, unless the peer left first.
    Errors of one class may differ in their `status`.
    """

    side: ClassVar[Side] = Side.PROXY
    closer: ClassVar[Side] = Side.PROXY
    status: int = 500
    reason: ClassVar[str] = "error"
    another_attempt_may_help: ClassVar[bool] = False

    @property
    def detail(self) -> str:
        """One line for a log: what happened, and to which peer."""
        return str(self) or self.reason


class ConfigError(SplicerError):
    """A configuration that can't be used.

    Args:
        faults: every fault found, one clear line each.
    """

    reason = "config"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ClientError(SplicerError):
    """The client's request can't be served; the message is for the log."""

    side = Side.CLIENT
    status = 400
    reason = "bad_request"


class BadRequest(ClientError):
    """Malformed or ambiguous framing, or a target that must not be forwarded (RFC 9112 §2.2, §3, §6)."""


class Forbidden(ClientError):
    """The client's address is not among the route's `clients`, or among its `clients_deny`."""

    status = 403
    reason = "client_not_allowed"


class OriginNotAllowed(ClientError):
    """A browser's page of a foreign origin asks for an upgrade (RFC 6455 §10.2)."""

    status = 403
    reason = "origin_not_allowed"


class NotFound(ClientError):
    """No route matches, or a capture is no DNS label."""

    status = 404
    reason = "no_route"


class BadCapture(NotFound):
    """A capture in an upstream's host is no DNS label."""

    reason = "bad_capture"


class MethodNotAllowed(ClientError):
    """A route matches, but not with this method (RFC 9110 §15.5.6).

    Args:
        allow: the methods that would have matched.
    """

    status = 405
    reason = "method_not_allowed"

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(f"allowed: {', '.join(allow)}")
        self.allow = allow


class HeadTimeout(ClientError):
    """The whole request head did not come within `deadlines.head`."""

    status = 408
    reason = "head_deadline"


class BodyTimeout(ClientError):
    """The request body did not come within `deadlines.response`, or stopped for `deadlines.body_idle`."""

    status = 408
    reason = "body_deadline"


class ClientStalled(ClientError):
    """The client took nothing of its answer for `deadlines.response_idle`."""

    status = 408
    reason = "client_stalled"


class BodyTooLarge(ClientError):
    """The request body is over `body_bytes`, the route's or that of ``[limits]``."""

    status = 413
    reason = "body_too_large"


class RequestLineTooLong(ClientError):
    """The request line is longer than that of any legitimate request (RFC 9112 §3, RFC 9110 §15.5.15)."""

    status = 414
    reason = "request_line_too_long"


class UpgradeRequired(ClientError):
    """A route with `upgrade_only` got a request that is no upgrade (RFC 9110 §15.5.22).

    Args:
        protocols: the route's `upgrade`.
    """

    status = 426
    reason = "upgrade_required"

    def __init__(self, protocols: tuple[str, ...]) -> None:
        super().__init__(f"this route answers only upgrades to {', '.join(protocols)}")
        self.protocols = protocols


class BadWebSocketVersion(ClientError):
    """A WebSocket handshake of a version other than 13 (RFC 6455 §4.4)."""

    status = 426
    reason = "websocket_version"


class HeadTooLarge(ClientError):
    """The request head is over `limits.head_bytes`, or has too many fields (RFC 6585 §5)."""

    status = 431
    reason = "head_too_large"


class ClientGone(ClientError):
    """The client closed or reset its connection, so there is no answer to send (nginx logs this as 499)."""

    closer = Side.CLIENT
    status = 499
    reason = "client_gone"


class PodError(SplicerError):
    """An attempt at a pod failed."""

    side = Side.POD
    status = 502
    reason = "pod_error"
    another_attempt_may_help = True


class NameNotFound(PodError):
    """The name servers say that there is no such name, or no address for it."""

    status = 503
    reason = "name_not_found"


class ResolveFailed(PodError):
    """No name server gave a usable answer, and no earlier answer is known."""

    status = 503
    reason = "resolve_failed"


class ResolveTimeout(ResolveFailed):
    """The name servers were silent for `deadlines.resolve`."""

    status = 504
    reason = "resolve_deadline"


class NoEndpoint(PodError):
    """Every address of the upstream has been left out."""

    status = 503
    reason = "no_endpoint"


class PodDraining(PodError):
    """An operator drains the pod."""

    status = 503
    reason = "pod_draining"


class AddressNotAllowed(PodError):
    """The name's addresses all lie outside the upstream's `allow` networks."""

    reason = "address_not_allowed"
    another_attempt_may_help = False


class ConnectRefused(PodError):
    """ECONNREFUSED."""

    closer = Side.POD
    reason = "connect_refused"


class ConnectFailed(PodError):
    """Any other errno of connect(2): unreachable, reset ..."""

    closer = Side.POD
    reason = "connect_failed"


class ConnectTimeout(PodError):
    """No connection within `deadlines.connect`."""

    status = 504
    reason = "connect_deadline"


class PodReset(PodError):
    """The pod reset the connection before its response head was complete."""

    closer = Side.POD
    reason = "pod_reset"


class PodClosed(PodError):
    """The pod closed the connection before its response head was complete."""

    closer = Side.POD
    reason = "pod_closed"


class HandshakeTimeout(PodError):
    """No response head within `deadlines.handshake` of the request."""

    status = 504
    reason = "handshake_deadline"


class AttemptsTimeout(PodError):
    """`deadlines.attempts` ran out: there is no time left for another attempt."""

    status = 504
    reason = "attempts_deadline"
    another_attempt_may_help = False


class ResponseTimeout(PodError):
    """`deadlines.response` ran out before the exchange was complete."""

    status = 504
    reason = "response_deadline"
    another_attempt_may_help = False


class ResponseStalled(PodError):
    """Nothing of the pod's answer came for `deadlines.response_idle`, after its head."""

    status = 504
    reason = "response_idle_deadline"
    another_attempt_may_help = False


class BadAnswer(PodError):
    """The pod's answer is no HTTP/1.1 response, is ambiguous, or is a 101 that fails the gate."""

    closer = Side.POD
    reason = "bad_answer"
    another_attempt_may_help = False


class UnwantedStatus(PodError):
    """The pod answered with a status that the route's `fallback_on` names.

    Args:
        status: that status, which the client gets if no other attempt is made.
    """

    reason = "status"

    def __init__(self, status: int) -> None:
        super().__init__(f"the pod answered {status}")
        self.answered = status

    @property
    def detail(self) -> str:
        """The status, for a log."""
        return f"status {self.answered}"


class Draining(SplicerError):
    """New work is refused during a drain."""

    status = 503
    reason = "draining"


class LoopDetected(SplicerError):
    """The request has passed through splicer several times: an upstream leads back to it (RFC 5842 §7.2)."""

    status = 508
    reason = "loop"


class TooManyConnections(SplicerError):
    """`limits.connections` is reached."""

    status = 503
    reason = "too_many_connections"


class NoDescriptor(SplicerError):
    """The process has no file descriptor left for a connection to a pod (EMFILE, ENFILE)."""

    status = 503
    reason = "no_descriptor"
