"""The choice of endpoints: those that may be dialled, in the order in which to try them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from splicer.errors import AddressNotAllowed, NoEndpoint
from splicer.limit_errors import EndpointFull
from splicer.model import Endpoint, Upstream
from splicer.policy.allowed import allowed
from splicer.policy.tiers import Key, Purpose, heeded
from splicer.upstream.balance import Balancer, SlowStart
from splicer.upstream.source import Candidates, EndpointSource

_MOST = 4096  # addresses whose judgement is remembered


class Endpoints:
    """Chooses endpoints.

    Args:
        source: knows the endpoints of upstreams.
        balancer: the worker's.
    """

    def __init__(self, source: EndpointSource, balancer: Balancer) -> None:
        self._source = source
        self._balancer = balancer
        # `allowed` remembers too, but for that the hash of every network in `allow` is computed anew. This is of one
        # configuration: the next one has other objects that are equal, and to compare them takes longer.
        self._may_be_dialled = lru_cache(maxsize=_MOST)(_may_be_dialled)

    async def choose(
        self,
        upstream: Upstream,
        host: str,
        *,
        exclude: frozenset[Key] = frozenset(),
        purpose: Purpose = Purpose.REQUEST,
        refresh: bool = False,
    ) -> Candidates:
        """Find and order the endpoints that may be dialled; there is no checkpoint if they are cached.

        If only excluded endpoints are cached, the source is asked: pods are recreated with new addresses.

        Args:
            upstream: whose `allow`, `port`, `balance` and limits count.
            host: the upstream's host template, rendered.
            exclude: addresses and ports to leave out, for they have just failed.
            purpose: what it is for: a pod may be of no use for calls alone, and these have a limit of their own.
            refresh: ask the source even if endpoints are cached.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolveFailed: the name servers failed, and no earlier answer is known.
            AddressNotAllowed: all its addresses lie outside `allow` (design §5).
            PodUnusable: discovery knows that the pod is of no use.
            NoEndpoint: every address that may be dialled is excluded, or discovery knows that there is none.
            EndpointFull: every one that is not excluded has as many as it may have.
        """
        found = None if refresh else self._source.at_hand(upstream, host, purpose)
        if found is None:
            found = await self._source.find(upstream, host, purpose, refresh=refresh)
        choice = self._choice(upstream, host, found, exclude, purpose)
        if choice is None and not found.fresh and not refresh:
            return await self.choose(upstream, host, exclude=exclude, purpose=purpose, refresh=True)
        if choice is None:
            raise NoEndpoint(
                f"{host}: no address left but what has just failed, or is being drained: {_addresses(found)}"
            )
        return choice

    def at_hand(
        self,
        upstream: Upstream,
        host: str,
        exclude: frozenset[Key],
        purpose: Purpose = Purpose.REQUEST,
    ) -> Candidates | None:
        """The result of `choose` if it needs no lookup; else None.

        Raises:
            AddressNotAllowed: see `choose`.
            EndpointFull: see `choose`.
            PodUnusable: see `choose`.
            NoEndpoint: see `choose`.
        """
        found = self._source.at_hand(upstream, host, purpose)
        return None if found is None else self._choice(upstream, host, found, exclude, purpose)

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        """The endpoints that may be dialled, of those that the source found last; there is no lookup."""
        return tuple(
            endpoint for endpoint in self._source.known(upstream, host) if _may_be_dialled(upstream, endpoint.address)
        )

    async def any_left(
        self,
        upstream: Upstream,
        host: str,
        exclude: frozenset[Key],
        purpose: Purpose = Purpose.REQUEST,
    ) -> bool:
        """Whether `choose` could find an endpoint; unlike it, this takes no turn of the balancer's.

        Raises:
            NameNotFound: see `choose`.
            ResolveFailed: see `choose`.
            PodUnusable: see `choose`.
            NoEndpoint: see `choose`.
        """
        found = self._source.at_hand(upstream, host, purpose) or await self._source.find(upstream, host, purpose)
        left = _left(upstream, found, exclude)
        if not left and not found.fresh:
            left = _left(upstream, await self._source.find(upstream, host, purpose, refresh=True), exclude)
        tunnel = purpose is not Purpose.REQUEST
        limit = upstream.limit(tunnel=tunnel)
        return bool(left if limit is None or not left else self._balancer.loads.with_room(left, limit, tunnel=tunnel))

    def _choice(
        self, upstream: Upstream, host: str, found: Candidates, exclude: frozenset[Key], purpose: Purpose
    ) -> Candidates | None:
        endpoints = [endpoint for endpoint in found.endpoints if self._may_be_dialled(upstream, endpoint.address)]
        if not endpoints:
            raise AddressNotAllowed(f"{host} is {_addresses(found)}: not allowed for upstream {upstream.name}")
        behind = found.behind
        if behind and len(endpoints) < len(found.endpoints):  # the source counted some that can be of no use
            keys = ((endpoint.address, endpoint.port) for endpoint in endpoints)
            behind = heeded(behind.intersection(keys), len(endpoints))
        if exclude:
            endpoints = [endpoint for endpoint in endpoints if (endpoint.address, endpoint.port) not in exclude]
            if not endpoints:
                return None
        tunnel = purpose is not Purpose.REQUEST
        if (limit := upstream.limit(tunnel=tunnel)) is not None:
            endpoints = self._with_room(upstream, endpoints, limit, tunnel=tunnel)
        if len(found.endpoints) == 1:  # most pods whose name is in the URL have one
            return found
        return Candidates(tuple(self._in_order(upstream, endpoints, behind, found.since)), found.fresh)

    # Those behind have turns of their own: else they would take those of the others.
    def _in_order(
        self, upstream: Upstream, endpoints: list[Endpoint], behind: frozenset[Key], since: Mapping[Key, float]
    ) -> list[Endpoint]:
        slow = None
        if upstream.slow_start is not None and since:
            slow = SlowStart(upstream.slow_start, since)
        order = partial(self._balancer.order, slow=slow)
        if not behind:
            return order(upstream.name, upstream.balance, endpoints)
        last = [endpoint for endpoint in endpoints if (endpoint.address, endpoint.port) in behind]
        first = [endpoint for endpoint in endpoints if (endpoint.address, endpoint.port) not in behind]
        return order(upstream.name, upstream.balance, first) + order(f"{upstream.name}, behind", upstream.balance, last)

    def _with_room(self, upstream: Upstream, endpoints: list[Endpoint], limit: int, *, tunnel: bool) -> list[Endpoint]:
        found = self._balancer.loads.with_room(endpoints, limit, tunnel=tunnel)
        if not found:
            raise full(upstream, endpoints, limit, tunnel=tunnel)
        return found


def full(upstream: Upstream, endpoints: Sequence[Endpoint], limit: int, *, tunnel: bool) -> EndpointFull:
    """The error of endpoints that all have as many tunnels, or plain requests, as the upstream's limit."""
    what = f"{limit} tunnels, the max_tunnels" if tunnel else f"{limit} requests, the max_requests"
    if len(endpoints) > 1:
        return EndpointFull(f"each of {len(endpoints)} endpoints has {what} of upstream {upstream.name}")
    [only] = endpoints
    return EndpointFull(f"{only} has {what} of upstream {upstream.name}", str(only), only.pod)


def _may_be_dialled(upstream: Upstream, address: str) -> bool:
    return allowed(address, upstream.allow)


def _left(upstream: Upstream, found: Candidates, exclude: frozenset[Key]) -> list[Endpoint]:
    return [
        endpoint
        for endpoint in found.endpoints
        if (endpoint.address, endpoint.port) not in exclude and _may_be_dialled(upstream, endpoint.address)
    ]


def _addresses(found: Candidates) -> str:
    return ", ".join(endpoint.address for endpoint in found.endpoints)
