"""The repository's own routing.toml does the whole job of the system that it is written for."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.errors import BadCapture
from splicer.model import Deadlines, Match, Respond, StatusPage, Upstream
from splicer.routing.rewrite import target_path
from splicer.routing.table import RouteTable
from splicer.routing.template import render_host

TEXT = (Path(__file__).parents[2] / "routing.toml").read_text(encoding="utf-8")
CONFIG = load(TEXT, environ={})
TABLE = RouteTable(CONFIG.routes)
DOMAINS = ["clairvoyance.breezelabs.app", "buddy.breezelabs.app"]

SMART_ROUTER = "smart-router.voice-system.svc.cluster.local:8080"
VOICE_AGENT = "voice-agent.voice-system.svc.cluster.local:8000"
CLAIRVOYANCE = "clairvoyance.default.svc.cluster.local:80"
# Google's load balancers take an idle connection again for 600 s, and a pod's end takes an hour at most.
GOOGLES = Deadlines(response=30.0, keepalive=620.0, drain=3480.0)
HALF_MINUTE = evolve(GOOGLES, connect=5.0, handshake=30.0, attempts=30.0, response=30.0)


def match(path: str, host: str = DOMAINS[0]) -> Match:
    return TABLE.match("GET", host, path)


def address(upstream: Upstream | None, found: Match) -> str | None:
    return None if upstream is None else f"{render_host(upstream.host, found.captures)}:{upstream.port}"


def test_it_loads_without_a_warning() -> None:
    assert warnings(CONFIG) == ()


def test_the_dns_server_comes_from_the_environment() -> None:
    assert CONFIG.resolver.nameservers == (("34.118.224.10", 53),)
    assert load(TEXT, environ={"DNS_SERVER": "10.1.2.3"}).resolver.nameservers == (("10.1.2.3", 53),)
    assert CONFIG.resolver.ipv6 is False


def test_query_strings_are_not_logged() -> None:
    assert CONFIG.log.query is False


@pytest.mark.parametrize("host", [*DOMAINS, "10.1.2.3:8080", ""])
@pytest.mark.parametrize(
    ("path", "body", "draining"),
    [
        ("/health", b"healthy\n", None),
        ("/nginx-health", b"healthy\n", None),
        ("/ready", b"ready\n", Respond(503, b"draining\n")),
        ("/nginx-ready", b"ready\n", Respond(503, b"draining\n")),
    ],
)
def test_probes_are_answered_for_any_host_and_not_logged(
    path: str, body: bytes, draining: Respond | None, host: str
) -> None:
    route = match(path, host).route
    unprotected = Respond(200, b"ready; calls are unprotected\n") if draining else None
    assert route.respond == Respond(200, body, draining=draining, unprotected=unprotected)
    assert route.log is False
    assert route.clients is None


def test_the_status_page_is_for_the_cluster() -> None:
    route = match("/nginx-status").route
    assert route.respond is StatusPage.STUB_STATUS
    assert [str(network) for network in route.clients or ()] == ["10.0.0.0/8", "127.0.0.1/32"]


@pytest.mark.parametrize("path", ["/", "/api/v1/x", "/ws/pod/voice-agent-1/x", "/voice-agent-1/x"])
@pytest.mark.parametrize("host", ["example.com", "breezelabs.app", "x.buddy.breezelabs.app", "10.0.0.1", ""])
def test_any_other_domain_is_unknown(path: str, host: str) -> None:
    unknown = Respond(404, b'{"error":"unknown domain"}', "application/json")
    assert match(path, host).route.respond == unknown


@pytest.mark.parametrize("host", [*DOMAINS, "Buddy.Breezelabs.App:443"])
@pytest.mark.parametrize(
    ("path", "upstream", "target", "deadlines"),
    [
        ("/api/v1/status", SMART_ROUTER, "/api/v1/status", HALF_MINUTE),
        ("/api/v1/twilio/allocate", SMART_ROUTER, "/api/v1/twilio/allocate", HALF_MINUTE),
        ("/agent/voice/breeze-buddy/twilio/callback/a/v2", SMART_ROUTER, "/api/v1/twilio/allocate", HALF_MINUTE),
        ("/agent/voice/breeze-buddy/plivo/callback/a", SMART_ROUTER, "/api/v1/plivo/allocate", HALF_MINUTE),
        ("/agent/voice/breeze-buddy/exotel/callback/", SMART_ROUTER, "/api/v1/exotel/allocate", HALF_MINUTE),
        ("/agent/voice/breeze-buddy/allocate", SMART_ROUTER, "/api/v1/allocate", HALF_MINUTE),
        ("/voice-agent-3/health", f"voice-agent-3.{VOICE_AGENT}", "/health", HALF_MINUTE),
        ("/voice-agent-0/a%2Fb%20c", f"voice-agent-0.{VOICE_AGENT}", "/a%2Fb%20c", HALF_MINUTE),
        ("/ws/pod/voice-agent-17/a%2Fb", f"voice-agent-17.{VOICE_AGENT}", "/a%2Fb", GOOGLES),
        ("/", CLAIRVOYANCE, "/", None),
        ("/voice-agent-x/y", CLAIRVOYANCE, "/voice-agent-x/y", None),
        ("/agent/voice/breeze-buddy/other", CLAIRVOYANCE, "/agent/voice/breeze-buddy/other", None),
    ],
)
def test_where_requests_go(path: str, upstream: str, target: str, deadlines: Deadlines | None, host: str) -> None:
    found = match(path, host)
    assert address(found.route.upstream, found) == upstream
    assert target_path(found, path, None) == target
    assert target_path(found, path, "CallSid=1&x=%2F") == f"{target}?CallSid=1&x=%2F"
    assert deadlines is None or found.route.deadlines == deadlines
    assert found.route.log is True


def test_a_call_goes_to_its_pod_or_to_any() -> None:
    path = "/agent/voice/breeze-buddy/twilio/callback/order-confirmation/v2"
    found = match(f"/ws/pod/voice-agent-2{path}")
    route = found.route
    assert target_path(found, f"/ws/pod/voice-agent-2{path}", "sample=1") == f"{path}?sample=1"
    assert (route.upgrade, route.upgrade_only) == (("websocket",), False)
    assert address(route.fallback, found) == VOICE_AGENT
    assert route.fallback_on == {502, 503, 504}
    assert (route.deadlines.connect, route.deadlines.idle) == (3.0, 3600.0)
    assert route.upstream is not None
    assert [str(network) for network in route.upstream.allow or ()] == ["10.0.0.0/8"]


@pytest.mark.parametrize("pod", ["10.96.0.10:8000%3f", "a.b", "Voice-Agent-1", "voice%2dagent-1", "-a", "a" * 64])
def test_no_url_steers_it_anywhere_but_to_a_pod(pod: str) -> None:
    found = match(f"/ws/pod/{pod}/x")
    assert found.route.name == "pod-websocket"
    with pytest.raises(BadCapture):
        address(found.route.upstream, found)


def test_the_application_may_take_an_hour_and_web_sockets() -> None:
    route = match("/any/page").route
    assert route.upgrade == ("websocket",)
    assert (route.deadlines.connect, route.deadlines.response, route.deadlines.idle) == (5.0, 3600.0, 3600.0)
    assert route.deadlines.handshake < route.deadlines.attempts


def test_only_the_load_balancers_are_believed() -> None:
    googles = ["35.191.0.0/16", "130.211.0.0/22"]
    assert [str(network) for network in CONFIG.server.trusted_proxies] == [*googles, "192.0.2.1/32"]
    there = load(TEXT, environ={"LB_ADDRESS": "203.0.113.7"}).server.trusted_proxies
    assert [str(network) for network in there] == [*googles, "203.0.113.7/32"]
