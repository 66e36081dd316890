"""Who may come in, and which of several reasons not to is told."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.schema import Limits
from splicer.errors import SplicerError
from splicer.http1.via import MOST_PASSES
from splicer.model import RequestHead
from splicer.observer import Observer
from splicer.rates import Rate, RateLimit
from splicer.routing.table import RouteTable
from splicer.session.admission import Applicant
from splicer.session.client import ClientLeg
from splicer.session.context import Drains, Ruleset, SessionContext
from splicer.upstream.balance import Balancer
from splicer.upstream.pool import IdlePool
from tests.session.edge import route

PLAIN = RequestHead("POST", "/x", "/x", None, "a", "1.1", ((b"Host", b"a"),), content_length=5)
UPGRADE = evolve(
    PLAIN,
    method="GET",
    content_length=None,
    headers=(
        *PLAIN.headers,
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ),
)
LOOP = (b"Via", b", ".join([b"1.1 splicer"] * MOST_PASSES))


@define
class Refusals(Observer):
    """Hears who was turned away."""

    heard: list[tuple[str, str]] = field(factory=list)

    def connection_refused(self, client: str, error: SplicerError) -> None:
        self.heard.append((client, error.reason))


def applicant(*faults: str, head: RequestHead = PLAIN) -> Applicant:
    """A request that may come in but for these faults."""
    route_ = route(upgrade=("websocket",), upgrade_only="protocol" in faults, name="calls")
    if "rate" in faults:
        route_ = evolve(route_, rate_limit=RateLimit(Rate(1, "s"), 1))
    if "client" in faults:
        route_ = evolve(route_, clients=(ip_network("10.0.0.0/8"),))
    nothing = cast("Any", None)
    limits = Limits(body_bytes=4 if "body" in faults else 5)
    limiter = cast("Any", SimpleNamespace(wait=lambda client, head, now: 3.0 if "rate" in faults else 0.0))
    rules = Ruleset(RouteTable((route_,)), nothing, route_.deadlines, limits, (), rate_limiters={"calls": limiter})
    context = SessionContext(
        rules=rules,
        dial=nothing,
        pool=IdlePool(),
        balancer=Balancer(),
        splice=nothing,
        observer=Refusals(),
        may_use_pod=lambda: "place" not in faults,
        drains=Drains(routes=frozenset({"calls"} if "route drain" in faults else ())),
        draining="drain" in faults,
    )
    if "denied" in faults:
        route_ = evolve(route_, clients_deny=(ip_network("198.51.100.0/24"),))
    if "loop" in faults:
        head = evolve(head, headers=(*head.headers, LOOP))
    client = ClientLeg(nothing, "192.0.2.7", over=True)
    return Applicant(context, rules, client, head, route_, "198.51.100.3")


def refusal(request: Applicant) -> str | None:
    try:
        request.admit()
        request.admit_to_pod()
    except SplicerError as error:
        return error.reason
    return None


# The first word is the fault, the second one what the client is told.
ORDER = {
    "client": "client_not_allowed",
    "denied": "client_not_allowed",
    "rate": "rate_limited",
    "loop": "loop",
    "place": "too_many_connections",
    "drain": "draining",
    "route drain": "draining",
    "protocol": "upgrade_required",
    "body": "body_too_large",
}


@given(faults=st.sets(st.sampled_from(list(ORDER))))
async def test_the_first_fault_in_the_order_is_told(faults: set[str]) -> None:
    expected = next((reason for fault, reason in ORDER.items() if fault in faults), None)
    assert refusal(applicant(*faults)) == expected


def test_a_drain_of_the_edge_is_told_before_that_of_the_route() -> None:
    request = applicant("drain", "route drain")
    request.admit()
    with pytest.raises(SplicerError, match="new work is refused during a drain"):
        request.admit_to_pod()


@pytest.mark.parametrize("fault", [fault for fault in ORDER if fault not in {"client", "denied", "rate"}])
def test_what_needs_no_pod_is_asked_for_its_client_alone(fault: str) -> None:
    applicant(fault).admit()


def test_what_is_upgraded_to_is_known_when_it_is_in() -> None:
    for head, protocol in ((PLAIN, None), (UPGRADE, "websocket")):
        request = applicant(head=head)
        assert refusal(request) is None
        assert request.protocol == protocol


# The connection goes on: its next request has its place already.
@pytest.mark.parametrize(("fault", "over"), [(None, False), ("drain", False), ("place", True), ("loop", True)])
def test_a_place_is_taken_once_and_kept(fault: str | None, over: bool) -> None:
    request = applicant(*([fault] if fault else []))
    refusal(request)
    assert request.client.over is over
    refused = [("192.0.2.7", "too_many_connections")] if fault == "place" else []
    assert cast("Refusals", request.context.observer).heard == refused


def test_an_upstream_that_leads_back_is_named() -> None:
    with pytest.raises(SplicerError, match="upstream app leads back to a splicer"):
        applicant("loop").admit_to_pod()


@pytest.mark.parametrize(
    ("origins", "head", "reason"),
    [
        ((), UPGRADE, None),
        (("https://evil.test",), UPGRADE, None),
        (("https://app.test",), UPGRADE, "origin_not_allowed"),
        (("https://app.test",), PLAIN, None),
    ],
)
def test_an_upgrade_from_a_page_of_a_foreign_origin(
    origins: tuple[str, ...], head: RequestHead, reason: str | None
) -> None:
    request = applicant(head=evolve(head, headers=(*head.headers, (b"Origin", b"https://evil.test"))))
    request.route = evolve(request.route, origins=origins)
    assert refusal(request) == reason


def test_an_upgrade_that_no_browser_asks_for_passes() -> None:
    request = applicant(head=UPGRADE)
    request.route = evolve(request.route, origins=("https://app.test",))
    assert refusal(request) is None


def test_a_client_among_the_denied_ones_is_refused_even_if_it_is_among_the_allowed() -> None:
    request = applicant("denied")
    request.route = evolve(request.route, clients=(ip_network("198.51.100.3"),))
    with pytest.raises(SplicerError, match="is among the clients that this route denies"):
        request.admit()
