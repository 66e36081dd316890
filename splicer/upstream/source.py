"""Sources of endpoints: each knows the endpoints of upstreams."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from attrs import frozen

from splicer.model import Endpoint, Upstream
from splicer.net.resolve import Answer
from splicer.policy.tiers import Key, Purpose

_MOST = 1024  # answers whose endpoints are remembered


@frozen
class Candidates:
    """Endpoints, at least one.

    Args:
        endpoints: in the source's order, or in the order in which to try them.
        fresh: False if a new lookup may find others, which is worth while if none of these can be connected to.
        behind: the addresses and ports of those to try after the others.
        since: since when those are ready that were not from the start, on the monotonic clock, by address and port.
    """

    endpoints: tuple[Endpoint, ...]
    fresh: bool
    behind: frozenset[Key] = frozenset()
    since: Mapping[Key, float] = MappingProxyType({})


class EndpointSource(Protocol):
    """Knows the endpoints of upstreams. It doesn't decide which of them may be dialled, or in which order.

    `host` is always the upstream's host template, rendered.
    """

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        """The endpoints that need no lookup; None if `find` must be awaited.

        Raises:
            PodUnusable: see `find`.
            NoEndpoint: see `find`.
        """
        ...

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        """The cached endpoints, or those of a lookup; without a lookup there is no checkpoint.

        The caller's deadline is a cancel scope around the call.

        Args:
            upstream: the upstream.
            host: the upstream's host.
            purpose: what a pod that the host names is wanted for.
            refresh: look up even if endpoints are cached.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolveFailed: the lookup failed, and no earlier answer is known.
            PodUnusable: discovery knows that the pod is of no use.
            NoEndpoint: discovery knows that there is none.
        """
        ...

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """The last endpoints that `at_hand` could return, however old; does not count as a lookup."""
        ...

    def of_pods(self, pods: Collection[str]) -> Iterable[Endpoint]:
        """All endpoints of these pods, by whatever upstream; only discovery knows any."""
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

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        """See `EndpointSource`."""
        answer = self.resolver.cached(host)
        return None if answer is None else _candidates(upstream, host, answer)

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        """See `EndpointSource`."""
        return _candidates(upstream, host, await self.resolver.resolve(host, refresh=refresh))

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """See `EndpointSource`."""
        addresses = self.resolver.known(host)
        return _candidates(upstream, host, Answer(addresses, fresh=False)).endpoints if addresses else ()

    def of_pods(self, _: Collection[str]) -> Iterable[Endpoint]:
        """See `EndpointSource`: a name server knows no pod by its name alone."""
        return ()


def _candidates(upstream: Upstream, host: str, answer: Answer) -> Candidates:
    return _candidates_of(pod_name(upstream, host), upstream.port, answer.addresses, answer.fresh)


# Each request asks for the endpoints of its pod, and most of them for the same ones.
@lru_cache(maxsize=_MOST)
def _candidates_of(pod: str, port: int, addresses: tuple[str, ...], fresh: bool) -> Candidates:
    return Candidates(tuple([Endpoint(pod, address, port) for address in addresses]), fresh)


def pod_name(upstream: Upstream, host: str) -> str:
    """The name of the pod behind a rendered host: its first label if the host begins with it, else the whole host."""
    return host.partition(".")[0] if upstream.names_pod else host
