"""Sources of endpoints: each knows the endpoints of upstreams."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from attrs import frozen

from splicer.model import Endpoint, Upstream
from splicer.net.resolve import Answer

_MOST = 1024  # answers whose endpoints are remembered


@frozen
class Candidates:
    """Endpoints, at least one.

    Args:
        endpoints: in the source's order, or in the order in which to try them.
        fresh: False if a new lookup may find others, which is worth while if none of these can be connected to.
    """

    endpoints: tuple[Endpoint, ...]
    fresh: bool


class EndpointSource(Protocol):
    """Knows the endpoints of upstreams. It doesn't decide which of them may be dialled, or in which order.

    `host` is always the upstream's host template, rendered.
    """

    def at_hand(self, upstream: Upstream, host: str) -> Candidates | None:
        """The endpoints that need no lookup; None if `find` must be awaited."""
        ...

    async def find(self, upstream: Upstream, host: str, *, refresh: bool = False) -> Candidates:
        """The cached endpoints, or those of a lookup; without a lookup there is no checkpoint.

        The caller's deadline is a cancel scope around the call.

        Args:
            upstream: the upstream.
            host: the upstream's host.
            refresh: look up even if endpoints are cached.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolveFailed: the lookup failed, and no earlier answer is known.
        """
        ...

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """The last endpoints that `at_hand` could return, however old; does not count as a lookup."""
        ...


class Lookup(Protocol):
    """The methods of a `net.resolve.Resolver` that a source needs."""

    def cached(self, name: str) -> Answer | None:
        """The cached answer."""
        ...

    def known(self, name: str) -> tuple[str, ...]:
        """The addresses of the last good answer."""
        ...

    async def resolve(self, name: str, *, refresh: bool = False) -> Answer:
        """The answer, cached or looked up."""
        ...


@frozen
class NameSource:
    """The endpoints of names; a resolver knows fixed names, literal addresses and DNS.

    Args:
        resolver: returns the addresses; the port is the upstream's.
    """

    resolver: Lookup

    def at_hand(self, upstream: Upstream, host: str) -> Candidates | None:
        """See `EndpointSource`."""
        answer = self.resolver.cached(host)
        return None if answer is None else _candidates(upstream, host, answer)

    async def find(self, upstream: Upstream, host: str, *, refresh: bool = False) -> Candidates:
        """See `EndpointSource`."""
        return _candidates(upstream, host, await self.resolver.resolve(host, refresh=refresh))

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """See `EndpointSource`."""
        return _endpoints(upstream, host, self.resolver.known(host))


def _candidates(upstream: Upstream, host: str, answer: Answer) -> Candidates:
    return Candidates(_endpoints(upstream, host, answer.addresses), answer.fresh)


def _endpoints(upstream: Upstream, host: str, addresses: tuple[str, ...]) -> tuple[Endpoint, ...]:
    return _endpoints_of(pod_name(upstream, host), upstream.port, addresses)


# Each request asks for the endpoints of its pod, and most of them for the same ones.
@lru_cache(maxsize=_MOST)
def _endpoints_of(pod: str, port: int, addresses: tuple[str, ...]) -> tuple[Endpoint, ...]:
    return tuple([Endpoint(pod, address, port) for address in addresses])


def pod_name(upstream: Upstream, host: str) -> str:
    """The name of the pod behind a rendered host: its first label if the URL chose it, else the whole host."""
    return host.partition(".")[0] if upstream.host.captures else host
