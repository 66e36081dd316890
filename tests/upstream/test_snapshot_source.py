"""The endpoints of upstreams with discovery: first by the snapshot, then by name servers."""

from __future__ import annotations

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from splicer.endpoint_errors import PodNotReady, PodUnknown
from splicer.errors import NameNotFound, NoEndpoint
from splicer.health import OutlierDetection
from splicer.model import Endpoint, Service, Upstream
from splicer.policy.endpoint_flags import READY, SERVING, TERMINATING
from splicer.policy.tiers import Purpose
from splicer.routing.template import parse_template
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.snapshot import Found
from splicer.upstream.snapshot_source import SnapshotSource
from splicer.upstream.source import Candidates
from tests.upstream.snapshots import FIT, Snapshot, found, row

KEY, HOST = "voice/agent:8000", "agent.voice.svc"
JUDGED = OutlierDetection()
ANY = Upstream(
    "any",
    parse_template(HOST),
    8000,
    balance="round-robin",
    service=Service("voice", "agent", 8000),
    outlier_detection=JUDGED,
)
POD = evolve(
    ANY, name="pod", host=parse_template("{pod}." + HOST), service=Service("voice", "agent", 8000, of_pod=True)
)
NAMED = Upstream("router", parse_template("router.voice.svc"), 0, service=Service("voice", "router", "http"))
PLAIN = Upstream("plain", parse_template("plain.test"), 80)
BY_NAME = Endpoint("by-name", "10.9.9.9", 8000)
CALL, REQUEST, MENDED = Purpose.CALL, Purpose.REQUEST, Purpose.CALL_OR_FALLBACK


@define
class Names:
    """A source of names, which knows all of them, or none."""

    knows: bool = True
    asked: list[tuple[str, bool]] = field(factory=list)

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = REQUEST) -> Candidates | None:
        return None

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = REQUEST, *, refresh: bool = False
    ) -> Candidates:
        self.asked.append((host, refresh))
        if not self.knows:
            raise NameNotFound(host)
        return Candidates((BY_NAME,), fresh=True)

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        return (BY_NAME,)

    def of_pods(self, pods: object) -> tuple[Endpoint, ...]:
        return ()


class Stage:
    """A snapshot, and a source above it; `now` is its clock."""

    def __init__(self, fixed: tuple[str, ...] = ()) -> None:
        self.snapshot, self.names, self.now = Snapshot(), Names(), 1000.0
        self.source = SnapshotSource(self.names, self.snapshot.reader, fixed, lambda: self.now)

    async def addresses(self, upstream: Upstream, host: str = HOST, purpose: Purpose = REQUEST) -> list[str]:
        """What both ways say."""
        at_hand = self.source.at_hand(upstream, host, purpose)
        later = await self.source.find(upstream, host, purpose)
        assert at_hand in (None, later)
        return [endpoint.address for endpoint in later.endpoints]


@pytest.fixture
def stage() -> Stage:
    return Stage()


AGENTS = found(
    row("agent-0", "10.0.0.1"),
    row("agent-1", "10.0.0.2", SERVING | TERMINATING),
    row("agent-2", "10.0.0.3", 0),
    row("agent-0", "fd00::1", SERVING),
    row("", "10.0.0.4", READY),
)


def pod(name: str) -> str:
    return f"{name}.{HOST}"


# ---- what the snapshot knows ----


async def test_a_service_is_its_ready_endpoints_by_their_pods_names(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    choice = stage.source.at_hand(ANY, HOST)
    assert choice is not None
    assert choice.endpoints == (Endpoint("agent-0", "10.0.0.1", 8000), Endpoint("10.0.0.4", "10.0.0.4", 8000))
    assert not choice.fresh
    assert stage.source.at_hand(ANY, HOST) is choice
    assert await stage.source.find(ANY, HOST) is choice
    assert stage.names.asked == []


async def test_a_pod_that_has_just_become_ready_does_not_get_all_of_the_next_calls(stage: Stage) -> None:
    old = [row(f"agent-{number}", f"10.0.1.{number}")._replace(since=0.0) for number in range(50)]
    new = row("agent-50", "10.0.1.50")._replace(since=990.0)
    stage.snapshot.publish({KEY: found(*old, new)})
    balancer = Balancer(monotonic=lambda: stage.now)
    endpoints = Endpoints(stage.source, balancer)
    slow = evolve(ANY, balance="least-tunnels", slow_start=60.0)
    for each in (await endpoints.choose(slow, HOST)).endpoints:
        for _ in range(20 if each.pod != "agent-50" else 0):
            balancer.hold(each).__enter__()

    async def share(upstream: Upstream) -> int:
        firsts = []
        for _ in range(40):
            [first, *_] = (await endpoints.choose(upstream, HOST)).endpoints
            firsts.append((first.pod, balancer.hold(first)))
            firsts[-1][1].__enter__()
        for _, hold in firsts:
            hold.drop()
        return [pod for pod, _ in firsts].count("agent-50")

    assert await share(slow) <= 4
    stage.now += 30
    assert 5 < await share(slow) < 20
    stage.now += 30
    assert await share(slow) >= 20


@pytest.mark.parametrize(
    ("name", "purpose", "addresses"),
    [
        ("agent-0", CALL, ["10.0.0.1", "fd00::1"]),
        ("agent-1", CALL, ["10.0.0.2"]),
        ("agent-1", MENDED, ["10.0.0.2"]),
        ("agent-1", REQUEST, ["10.0.0.2"]),
        ("agent-2", REQUEST, ["10.0.0.3"]),
    ],
)
async def test_a_pod_by_its_name(stage: Stage, name: str, purpose: Purpose, addresses: list[str]) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    for _ in range(2):
        assert await stage.addresses(POD, pod(name), purpose) == addresses
    assert stage.names.asked == []


async def test_a_pod_of_no_use_is_refused_at_once(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    for purpose in Purpose:
        with pytest.raises(PodUnknown, match="voice/agent:8000 has no pod agent-9"):
            await stage.addresses(POD, pod("agent-9"), purpose)
    for purpose in (CALL, MENDED):
        with pytest.raises(PodNotReady, match="agent-2 is not ready") as refused:
            await stage.addresses(POD, pod("agent-2"), purpose)
        assert (refused.value.endpoint, refused.value.pod) == ("10.0.0.3:8000", "agent-2")
        assert (refused.value.status, refused.value.another_attempt_may_help) == (503, True)


async def test_a_service_without_an_endpoint_is_known_to_have_none(stage: Stage) -> None:
    stage.snapshot.publish({KEY: found(row("agent-2", "10.0.0.3", 0))})
    with pytest.raises(NoEndpoint, match="voice/agent:8000 has no endpoint that is ready"):
        await stage.addresses(ANY)


async def test_changes_are_seen_at_once(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    await stage.addresses(ANY)
    await stage.addresses(POD, pod("agent-0"))
    stage.snapshot.publish({KEY: found(row("agent-0", "10.0.1.1"))})
    assert await stage.addresses(ANY) == ["10.0.1.1"]
    assert await stage.addresses(POD, pod("agent-0")) == ["10.0.1.1"]


# ---- what name servers are asked ----


async def test_until_the_snapshot_says_something_names_are_asked(stage: Stage) -> None:
    assert await stage.addresses(ANY) == ["10.9.9.9"]
    stage.snapshot.publish({"voice/other:80": found()})
    assert await stage.addresses(POD, pod("agent-0")) == ["10.9.9.9"]
    stage.snapshot.publish({KEY: Found(True, 1.0, None)})
    assert await stage.addresses(ANY) == ["10.9.9.9"]
    assert stage.source.known(ANY, HOST) == (BY_NAME,)
    assert len(stage.names.asked) == 3


async def test_while_the_api_server_is_away_what_was_known_is_used(stage: Stage) -> None:
    stage.snapshot.publish({KEY: evolve(AGENTS, synced=False)})
    assert await stage.addresses(ANY) == ["10.0.0.1", "10.0.0.4"]
    assert await stage.addresses(POD, pod("agent-1"), CALL) == ["10.0.0.2"]
    assert stage.names.asked == []


async def test_what_a_dead_process_has_left_is_used_but_not_believed_for_ever(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    stage.snapshot.writer.renew(0.0)
    assert await stage.addresses(POD, pod("agent-0"), CALL) == ["10.0.0.1", "fd00::1"]
    assert stage.names.asked == []
    assert await stage.addresses(POD, pod("agent-9"), CALL) == ["10.9.9.9"], "it may have come since"
    assert (await stage.source.find(ANY, HOST, refresh=True)).endpoints == (BY_NAME,)


async def test_after_a_failed_connect_names_are_asked_too_while_it_is_away(stage: Stage) -> None:
    stage.snapshot.publish({KEY: evolve(AGENTS, synced=False)})
    choice = await stage.source.find(ANY, HOST, refresh=True)
    assert choice.endpoints == (BY_NAME,)
    stage.names.knows = False
    choice = await stage.source.find(ANY, HOST, refresh=True)
    assert [endpoint.address for endpoint in choice.endpoints] == ["10.0.0.1", "10.0.0.4"]
    assert stage.names.asked == [(HOST, True)] * 2
    stage.snapshot.publish({KEY: AGENTS})
    await stage.source.find(ANY, HOST, refresh=True)
    assert len(stage.names.asked) == 2, "it is in step again"


async def test_a_pod_that_was_made_while_it_is_away_is_found_by_its_name(stage: Stage) -> None:
    stage.snapshot.publish({KEY: evolve(AGENTS, synced=False)})
    for name in ("agent-9", "agent-2"):
        assert await stage.addresses(POD, pod(name), CALL) == ["10.9.9.9"]
    stage.names.knows = False
    with pytest.raises(NameNotFound):
        await stage.source.find(POD, pod("agent-9"), CALL)
    stage.snapshot.publish({KEY: found(synced=False)})
    with pytest.raises(NameNotFound):
        await stage.source.find(ANY, HOST)


async def test_other_upstreams_and_names_of_the_file_are_none_of_its_business() -> None:
    stage = Stage(fixed=(HOST,))
    stage.snapshot.publish({KEY: AGENTS})
    for upstream, host in ((PLAIN, "plain.test"), (ANY, HOST), (ANY, "Agent.Voice.SVC.")):
        assert await stage.addresses(upstream, host) == ["10.9.9.9"]
    assert await stage.addresses(POD, pod("agent-1")) == ["10.0.0.2"], "another name"


# ---- a port that has a name ----


async def test_only_discovery_knows_a_named_port(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def publish_later() -> None:
        await trio.sleep(1)
        stage.snapshot.publish({"voice/router:http": found(row("router-x", "10.0.0.7", port=9000))})

    nursery.start_soon(publish_later)
    assert stage.source.at_hand(NAMED, "router.voice.svc") is None
    with trio.fail_after(2):
        choice = await stage.source.find(NAMED, "router.voice.svc")
    assert choice.endpoints == (Endpoint("router-x", "10.0.0.7", 9000),)
    assert stage.source.at_hand(NAMED, "router.voice.svc") == choice
    stage.snapshot.publish({"voice/router:http": found(row("router-x", "10.0.0.7", port=9000), synced=False)})
    assert await stage.source.find(NAMED, "router.voice.svc", refresh=True) == choice
    assert stage.names.asked == []


async def test_a_named_port_that_is_not_there_is_no_endpoint(stage: Stage) -> None:
    stage.snapshot.publish({"voice/router:http": Found(True, 1.0, None)})
    assert stage.source.at_hand(NAMED, "router.voice.svc") is None
    with pytest.raises(NoEndpoint, match="voice/router:http: no such Service or port"):
        await stage.source.find(NAMED, "router.voice.svc")


# ---- what is known ----


async def test_the_endpoints_of_pods_whatever_leads_there(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS, "voice/router:http": found(row("agent-1", "10.0.0.9", port=9))})
    assert {str(endpoint) for endpoint in stage.source.of_pods({"agent-0", "agent-1"})} == {
        "10.0.0.1:8000",
        "[fd00::1]:8000",
        "10.0.0.2:8000",
        "10.0.0.9:9",
    }


async def test_what_is_known_is_what_a_retry_could_go_to(stage: Stage) -> None:
    stage.snapshot.publish({KEY: AGENTS})
    assert [each.address for each in stage.source.known(ANY, HOST)] == ["10.0.0.1", "10.0.0.4"]
    assert [each.address for each in stage.source.known(POD, pod("agent-2"))] == ["10.0.0.3"]
    assert stage.source.known(POD, pod("agent-9")) == ()
    assert stage.source.known(PLAIN, "plain.test") == (BY_NAME,)


async def test_so_many_pods_are_remembered_and_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splicer.upstream.snapshot_source._MOST_KEPT", 3)
    stage.snapshot.publish({KEY: found(*(row(f"agent-{n}", f"10.0.0.{n}", FIT) for n in range(9)))})
    for n in range(9):
        assert await stage.addresses(POD, pod(f"agent-{n}")) == [f"10.0.0.{n}"]
    known = stage.snapshot.reader.service(KEY)
    assert known is not None
    assert len(known.kept) <= 3


async def test_addresses_from_the_snapshot_are_checked_like_any(stage: Stage) -> None:
    from ipaddress import ip_network

    stage.snapshot.publish({KEY: found(row("a", "169.254.169.254"), row("b", "10.0.0.1"), row("c", "192.168.0.1"))})
    endpoints = Endpoints(stage.source, Balancer(clock=lambda: 0.0))
    within = evolve(ANY, allow=(ip_network("10.0.0.0/8"),))
    choice = await endpoints.choose(within, HOST)
    assert [endpoint.address for endpoint in choice.endpoints] == ["10.0.0.1"]
