"""What the session tells in the tests of the metrics, and the routes that it tells of."""

from __future__ import annotations

from attrs import evolve

from splicer.authorization import AuthorizeOutcome
from splicer.config.load import load
from splicer.errors import ConnectRefused
from splicer.model import Endpoint, Route
from splicer.record import AttemptOutcome, Record

ROW = 3
_ROUTES = """
[upstreams.pod]
address = "{pod}.pods.test:8000"
max_tunnels = 40

[upstreams.any-pod]
address = "pods.test:8000"

[[routes]]
name = "health"
path = "/health"
respond = { status = 200 }

[[routes]]
name = "call"
regex = '^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
max_tunnels = 500
upstream = "pod"
fallback = "any-pod"

[[routes]]
name = "placed"
prefix = "/placed/"
upstream = "any-pod"
authorize = { upstream = "any-pod", path = "/place" }

[[routes]]
name = "api"
prefix = "/api/"
upstream = "any-pod"
retries = 1
rate_limit = { rate = "50/s" }
"""
SERVED = AttemptOutcome("any-pod", "10.0.0.2:8000", pod="voice-agent-2", resolve=0.25, connect=0.25, handshake=2.0)
FALLEN_BACK = evolve(SERVED, fallback=True)
REFUSED = AttemptOutcome("pod", "10.0.0.1:8000", ConnectRefused.reason, "refused", "voice-agent-1", connect=0.25)
TUNNEL = Record(
    id="0123456789abcdef",
    client="192.0.2.7",
    started=100.0,
    method="GET",
    path="/ws/pod/voice-agent-2/x",
    route="call",
    upstream="any-pod",
    endpoint=Endpoint("voice-agent-2", "10.0.0.2", 8000),
    protocol="websocket",
    status=101,
    attempts=[REFUSED, FALLEN_BACK],
)
ASKED = AuthorizeOutcome("10.0.0.9:8000", 200, None, seconds=0.25)
PLAIN = Record(
    id="0123456789abcdee",
    client="192.0.2.7",
    started=100.0,
    ended=100.75,
    method="POST",
    path="/api/x",
    route="api",
    upstream="any-pod",
    status=204,
    attempts=[SERVED],
)


def routes() -> tuple[Route, ...]:
    return load(_ROUTES, environ={}).routes
