"""The errors of limits that are reached: the edge would serve the client, but not now."""

from __future__ import annotations

import math

from splicer.errors import ClientError, PodError, SplicerError


class RateLimited(ClientError):
    """More requests than the route's `rate_limit` allows (RFC 6585 §4).

    Args:
        wait: seconds until the next request is served.
    """

    status = 429
    reason = "rate_limited"

    def __init__(self, wait: float) -> None:
        self.retry_after = max(1, math.ceil(wait))
        super().__init__(f"the next request is served in {self.retry_after} s")


class TooManyFromClient(ClientError):
    """The client has `limits.connections_per_client` connections already."""

    status = 503
    reason = "connections_per_client"


class RouteFull(SplicerError):
    """The route's `max_tunnels` is reached."""

    status = 503
    reason = "route_full"


class EndpointFull(PodError):
    """Each endpoint that is left has `max_tunnels` tunnels, or `max_requests` requests; nothing was dialled.

    Args:
        detail: one line for the log.
        endpoint: the address and port, if there is one alone.
        pod: the name of its pod.
    """

    status = 503
    reason = "endpoint_full"

    def __init__(self, detail: str, endpoint: str | None = None, pod: str | None = None) -> None:
        super().__init__(detail)
        self.endpoint = endpoint
        self.pod = pod
