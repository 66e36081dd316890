"""The errors of limits that are reached: the edge would serve the client, but not now."""

from __future__ import annotations

import math

from splicer.errors import ClientError, SplicerError


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
