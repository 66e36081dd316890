"""What discovery knows of endpoints, beside what workers have tried."""

from __future__ import annotations

from typing import Any

from splicer.admin.discovered import Discovered
from splicer.admin.upstreams import listed
from splicer.config.load import load
from splicer.ipc.queries import EndpointRow
from splicer.policy.endpoint_flags import EJECTED, READY, SERVING, TERMINATING, UNHEALTHY, Verdict
from splicer.policy.tiers import Key
from splicer.upstream.snapshot import Found
from tests.upstream.snapshots import Snapshot, found, row

CONFIG = load(
    """
[upstreams.any]
address = "agent.voice.svc:8000"
discovery = "kubernetes"
health_check = "tcp"
outlier_detection = {}
[upstreams.plain]
address = "plain.test:80"
outlier_detection = {}
[upstreams.unjudged]
address = "plain.test:80"
[[routes]]
name = "all"
prefix = "/"
upstream = "any"
""",
    environ={},
)
KEY = "voice/agent:8000"
AGENTS = found(
    row("agent-0", "10.0.0.1"),
    row("agent-1", "10.0.0.2", SERVING | TERMINATING),
    row("agent-2", "10.0.0.3", 0),
    row("", "10.0.0.4", READY),
)


def tried(address: str, state: str = "up", upstream: str = "any", tunnels: int = 0, pod: str = "host") -> EndpointRow:
    return EndpointRow(upstream, pod, address, 8000, "dns", tunnels, state, None, 1.0)


def shown(of: Found, *rows: EndpointRow, verdicts: dict[Key, Verdict] | None = None, at: float = 100.0) -> Any:
    it = Snapshot()
    it.publish({KEY: of}, verdicts)
    upstreams = listed(CONFIG, rows, Discovered(it.reader, CONFIG, lambda: at))
    return {each["address"]: each for upstream in upstreams for each in upstream["endpoints"]}


def test_endpoints_that_nobody_has_tried_are_there() -> None:
    seen = shown(AGENTS)
    assert {address: (each["pod"], each["state"]) for address, each in seen.items()} == {
        "10.0.0.1": ("agent-0", "unknown"),
        "10.0.0.2": ("agent-1", "terminating"),
        "10.0.0.3": ("agent-2", "not_ready"),
        "10.0.0.4": ("10.0.0.4", "unknown"),
    }
    assert seen["10.0.0.2"] == {
        "pod": "agent-1", "address": "10.0.0.2", "port": 8000, "source": "kubernetes", "tunnels": 0, "requests": 0,
        "state": "terminating", "failure": None, "since_s": None,
        "ready": False, "serving": True, "terminating": True, "zone": "zone-a",
        "health": "healthy", "ejected_for_s": None,
    }  # fmt: skip


def test_what_workers_have_tried_is_the_same_endpoint() -> None:
    seen = shown(AGENTS, tried("10.0.0.1", tunnels=2), tried("10.0.0.1", "down", tunnels=1), tried("10.0.0.3"))
    assert len(seen) == 4
    assert (seen["10.0.0.1"]["pod"], seen["10.0.0.1"]["tunnels"]) == ("agent-0", 3)
    assert seen["10.0.0.1"]["source"] == "kubernetes"
    assert seen["10.0.0.3"]["state"] == "not_ready"


def test_endpoints_that_are_gone_are_shown_while_they_have_calls() -> None:
    gone, called = tried("10.0.9.1"), tried("10.0.9.2", tunnels=1)
    assert shown(AGENTS, gone, called).keys() - shown(AGENTS).keys() == {"10.0.9.2"}
    away = Found(False, 1.0, AGENTS.rows)
    assert shown(away, gone, called).keys() - shown(AGENTS).keys() == {"10.0.9.1", "10.0.9.2"}
    nothing = Found(True, 1.0, None)
    assert shown(nothing, gone).keys() == {"10.0.9.1"}


def test_verdicts_are_the_worst_of_all_whatever_the_source() -> None:
    verdicts = {
        ("10.0.0.1", 8000): Verdict(EJECTED, until=130.0),
        ("10.0.0.2", 8000): Verdict(UNHEALTHY, lapses=160.0),
        ("10.0.8.1", 8000): Verdict(EJECTED, until=110.0),
    }
    judged = tried("10.0.8.1", upstream="plain")
    seen = shown(AGENTS, judged, verdicts=verdicts)
    assert {address: each["state"] for address, each in seen.items()} == {
        "10.0.0.1": "ejected",
        "10.0.0.2": "unhealthy",
        "10.0.0.3": "not_ready",
        "10.0.0.4": "unknown",
        "10.0.8.1": "ejected",
    }
    assert (seen["10.0.0.1"]["ejected_for_s"], seen["10.0.0.1"]["health"]) == (30.0, "healthy")
    assert (seen["10.0.0.2"]["ejected_for_s"], seen["10.0.0.2"]["health"]) == (None, "unhealthy")
    assert "health" not in seen["10.0.8.1"]
    free = shown(AGENTS, tried("10.0.8.1", upstream="unjudged"), verdicts=verdicts)["10.0.8.1"]
    assert (free["state"], "ejected_for_s" in free) == ("up", False)
    later = shown(AGENTS, judged, verdicts=verdicts, at=131.0)
    assert later["10.0.8.1"]["state"] == "up", "it is over, though nobody has said so"


def test_what_an_endpoint_has_to_do_is_shown_for_each_upstream_that_leads_there() -> None:
    """A limit is the endpoint's, so a call may be refused for the calls that came through another upstream."""
    both = load(
        """
[upstreams.any]
address = "agent.voice.svc:8000"
discovery = "kubernetes"
[upstreams.pod]
address = "{pod}.agent.voice.svc:8000"
discovery = "kubernetes"
max_tunnels = 2
[[routes]]
name = "pod"
regex = '^/(?<pod>[^/]+)$'
upstream = "pod"
""",
        environ={},
    )
    it = Snapshot()
    it.publish({KEY: AGENTS}, None)
    rows = [tried("10.0.0.1", tunnels=2), tried("10.0.0.1", tunnels=1), tried("10.0.0.1", upstream="pod", tunnels=1)]
    upstreams = listed(both, rows, Discovered(it.reader, both, lambda: 100.0))
    tunnels = {
        (upstream["name"], each["pod"]): each["tunnels"] for upstream in upstreams for each in upstream["endpoints"]
    }
    assert (tunnels["any", "agent-0"], tunnels["pod", "agent-0"], tunnels["pod", "agent-1"]) == (3, 3, 0)
