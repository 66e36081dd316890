"""What can go wrong between this process and the API server.

Each failure has a `reason`, one of `REASONS`: a label of metrics and a field of the log.
"""

from __future__ import annotations

REASONS = (
    "connect",  # refused, reset, no route, no such name; or the answer was cut off
    "tls",
    "timeout",
    "token",  # the file with the token can't be read
    "ca",  # nor that with the CA
    "server_error",  # HTTP 5xx
    "throttled",  # HTTP 429
    "short",  # a watch that ended at once
    "gone",  # HTTP 410: what is asked for is too old
    "too_new",  # the server doesn't know yet what another one has said
    "silence",  # neither an event nor a bookmark
    "unauthorized",  # HTTP 401
    "forbidden",  # HTTP 403
    "error",  # an ERROR event, or another HTTP status
    "garbage",  # an answer that makes no sense
)


class ApiFailure(Exception):
    """The API server could not be asked, or its answer is no good.

    Args:
        reason: one of `REASONS`.
        message: for a person.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Refused(ApiFailure):
    """An HTTP answer that is no 200, or an ERROR event in a watch.

    Args:
        reason: one of `REASONS`.
        message: what the server said.
        status: the status code.
        retry_after: seconds that the server asks for; 0 if it doesn't.
    """

    def __init__(self, reason: str, message: str, *, status: int, retry_after: float = 0.0) -> None:
        super().__init__(reason, message)
        self.status = status
        self.retry_after = retry_after


class NotInCluster(Exception):
    """No environment of a pod: it has neither KUBERNETES_SERVICE_HOST nor KUBERNETES_SERVICE_PORT."""
