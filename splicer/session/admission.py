"""The checks before the first attempt, in one order.

Some are made for every request, the others only for requests that need a pod. The client is told of the first check
that fails, and a check may rely on those before it.
"""

from __future__ import annotations

from ipaddress import ip_address

import trio
from attrs import define

from splicer.errors import (
    BodyTooLarge,
    Draining,
    Forbidden,
    LoopDetected,
    OriginNotAllowed,
    TooManyConnections,
    UpgradeRequired,
)
from splicer.http1.upgrade import wanted_upgrade
from splicer.http1.via import is_loop
from splicer.limit_errors import RateLimited
from splicer.model import RequestHead, Route
from splicer.routing.origins import foreign_origin
from splicer.session.client import ClientLeg
from splicer.session.context import Ruleset, SessionContext
from splicer.tls.names import has_name
from splicer.tls_errors import CertificateNotAllowed


@define(eq=False)
class Applicant:
    """A request that was not admitted yet.

    Args:
        context: the worker's context.
        rules: the ruleset by which the request is served.
        client: the client's connection.
        head: the request's head.
        route: the first route that matches.
        address: the client's address after `trusted_proxies`.
        protocol: the protocol to upgrade to, set by `admit_to_pod`; None: plain HTTP.
        body_bytes: the most bytes of its body, set by `admit_to_pod`; None: no limit.
    """

    context: SessionContext
    rules: Ruleset
    client: ClientLeg
    head: RequestHead
    route: Route
    address: str
    protocol: str | None = None
    body_bytes: float | None = None

    def admit(self) -> None:
        """Make the checks for every request.

        Raises:
            SplicerError: the request is refused.
        """
        for check in _ANY:
            check(self)

    def admit_to_pod(self) -> None:
        """Make the checks for a request that needs a pod, after `admit`; they set `protocol` and `body_bytes`.

        Raises:
            SplicerError: the request is refused.
        """
        for check in _FOR_A_POD:
            check(self)


def _client_is_allowed(request: Applicant) -> None:
    networks, denied = request.route.clients, request.route.clients_deny
    if networks is None and not denied:
        return
    address = ip_address(request.address)
    if networks is not None and not any(address in network for network in networks):
        raise Forbidden(f"{request.address} is not among the clients of this route")
    if any(address in network for network in denied):
        raise Forbidden(f"{request.address} is among the clients that this route denies")


def _rate_is_kept(request: Applicant) -> None:
    route = request.route
    if route.rate_limit is not None:
        wait = request.rules.rate_limiters[route.name].wait(request.address, request.head, trio.current_time())
        if wait:
            raise RateLimited(wait)


def _is_no_loop(request: Applicant) -> None:
    if is_loop(request.head):
        upstream = request.route.upstream
        raise LoopDetected(f"upstream {upstream and upstream.name} leads back to a splicer")


def _certificate_is_allowed(request: Applicant) -> None:
    wanted = request.route.client_names
    if not wanted:
        return
    tls = request.client.stream.tls
    peer = None if tls is None else tls.facts.peer
    if peer is None:
        raise CertificateNotAllowed("the client has shown no certificate")
    if not has_name(peer.names, wanted):
        raise CertificateNotAllowed(f"{peer.name} has none of the route's client_names")


def _has_a_place(request: Applicant) -> None:
    client, context = request.client, request.context
    if not client.over:
        return
    if not context.may_use_pod():
        context.observer.connection_refused(client.peer, TooManyConnections())
        raise TooManyConnections("no idle connection could make room")
    client.over = False


def _edge_takes_work(request: Applicant) -> None:
    if request.context.draining:
        raise Draining("new work is refused during a drain")


def _route_takes_work(request: Applicant) -> None:
    if request.route.name in request.context.drains.routes:
        raise Draining(f"route {request.route.name} is being drained")


def _protocol_is_served(request: Applicant) -> None:
    route = request.route
    request.protocol = wanted_upgrade(request.head, route.upgrade) if route.upgrade else None
    if request.protocol is None and route.upgrade_only:
        raise UpgradeRequired(route.upgrade)


def _origin_is_allowed(request: Applicant) -> None:
    allowed = request.route.origins
    if allowed and request.protocol is not None and (foreign := foreign_origin(request.head, allowed)) is not None:
        raise OriginNotAllowed(f"{foreign} is not among the origins of this route")


def _body_fits(request: Applicant) -> None:
    limit = request.route.body_bytes
    if limit is None:
        limit = request.rules.limits.body_bytes
    request.body_bytes = limit
    if limit is not None and (request.head.content_length or 0) > limit:
        raise BodyTooLarge(f"{request.head.content_length} bytes announced, {limit} allowed")


# The client's address comes first: a client that may not use the route learns nothing else about it, and takes nothing
# of its rate. A loop is refused before it takes a place at the limit of connections. A place is taken before a drain
# refuses the request: the connection goes on in either case. The drains come before the protocol and the body, so that
# during a drain every request gets the same answer.
_ANY = (_client_is_allowed, _certificate_is_allowed, _rate_is_kept)
_FOR_A_POD = (
    _is_no_loop,
    _has_a_place,
    _edge_takes_work,
    _route_takes_work,
    _protocol_is_served,
    _origin_is_allowed,
    _body_fits,
)
