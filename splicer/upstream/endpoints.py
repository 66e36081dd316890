"""From an upstream's host to the endpoints to try."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from splicer.errors import AddressNotAllowed, NoEndpoint
from splicer.model import Endpoint, Upstream
from splicer.net.resolve import Answer
from splicer.policy.allowed import allowed
from splicer.upstream.balance import Balancer


class Lookup(Protocol):
    """What this module needs of a `Resolver`."""

    def cached(self, name: str) -> Answer | None:
        """The answer that is at hand."""
        ...

    async def resolve(self, name: str, *, refresh: bool = False) -> Answer:
        """The answer."""
        ...


@frozen
class Choice:
    """Endpoints in the order in which to try them, at least one.

    Args:
        endpoints: in trying order.
        fresh: False when the addresses came from the cache: if they can't be connected to, choosing again with
            `refresh` may find others.
    """

    endpoints: tuple[Endpoint, ...]
    fresh: bool


class Endpoints:
    """Chooses endpoints.

    Args:
        resolver: gives the addresses.
        balancer: the worker's.
    """

    def __init__(self, resolver: Lookup, balancer: Balancer) -> None:
        self._resolver = resolver
        self._balancer = balancer

    async def choose(
        self,
        upstream: Upstream,
        host: str,
        *,
        exclude: frozenset[tuple[str, int]] = frozenset(),
        refresh: bool = False,
    ) -> Choice:
        """Resolve the host and order what may be dialled; there is no checkpoint when the cache knows.

        If the cache knows only excluded addresses, the name servers are asked: pods are recreated with new ones.

        Args:
            upstream: whose `allow`, `port` and `balance` count.
            host: the upstream's host template, rendered.
            exclude: addresses and ports to leave out, for they have just failed.
            refresh: ask the name servers even if the cache knows.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolveFailed: the name servers failed, and no earlier answer is known.
            AddressNotAllowed: all its addresses lie outside `allow` (design §5).
            NoEndpoint: every address that may be dialled is excluded.
        """
        answer = None if refresh else self._resolver.cached(host)
        if answer is None:
            answer = await self._resolver.resolve(host, refresh=refresh)
        choice = self._choice(upstream, host, answer, exclude)
        if choice is None and not answer.fresh and not refresh:
            return await self.choose(upstream, host, exclude=exclude, refresh=True)
        if choice is None:
            left_out = ", ".join(answer.addresses)
            raise NoEndpoint(f"{host}: no address left but what has just failed, or is being drained: {left_out}")
        return choice

    def at_hand(self, upstream: Upstream, host: str, exclude: frozenset[tuple[str, int]]) -> Choice | None:
        """What `choose` would say without asking the name servers; None: it must ask.

        Raises:
            AddressNotAllowed: see `choose`.
        """
        answer = self._resolver.cached(host)
        return None if answer is None else self._choice(upstream, host, answer, exclude)

    def _choice(
        self, upstream: Upstream, host: str, answer: Answer, exclude: frozenset[tuple[str, int]]
    ) -> Choice | None:
        addresses = [address for address in answer.addresses if allowed(address, upstream.allow)]
        if not addresses:
            raise AddressNotAllowed(
                f"{host} is {', '.join(answer.addresses)}: not allowed for upstream {upstream.name}"
            )
        pod, port = pod_name(upstream, host), upstream.port
        endpoints = [Endpoint(pod, address, port) for address in addresses if (address, port) not in exclude]
        if not endpoints:
            return None
        return Choice(tuple(self._balancer.order(upstream.name, upstream.balance, endpoints)), answer.fresh)


def pod_name(upstream: Upstream, host: str) -> str:
    """What to call the pod behind a rendered host: its first label if the URL chose it, else the whole name."""
    return host.partition(".")[0] if upstream.host.captures else host
