"""Connecting to endpoints without any client: find, choose, take an idle one or dial."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field
from trio.testing import MockClock

from splicer.errors import (
    AttemptsTimeout,
    ClientGone,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    NameNotFound,
    NoDescriptor,
    NoEndpoint,
    ResolveTimeout,
    SplicerError,
)
from splicer.http1.response import ResponseParser
from splicer.model import Deadlines, Endpoint, Upstream
from splicer.net.dial import InTime
from splicer.net.stream import ByteStream
from splicer.pod_tls import PodProof, PodTls
from splicer.policy.deadlines import AttemptBudget
from splicer.policy.plan import Left
from splicer.policy.tiers import Purpose
from splicer.record import AttemptOutcome
from splicer.routing.template import parse_template
from splicer.tls_errors import TlsUntrusted
from splicer.upstream.balance import Balancer
from splicer.upstream.client import Connector
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.outcomes import NO_OUTCOMES, Outcomes
from splicer.upstream.pod import PodLeg
from splicer.upstream.pool import IdlePool
from splicer.upstream.probes import Probes
from splicer.upstream.race import STAGGER
from splicer.upstream.source import Candidates
from tests.kit.garbage import counting_garbage

ONE, TWO, THREE = (Endpoint("app.test", f"10.0.0.{last}", 8000) for last in (1, 2, 3))
APP = Upstream("app", parse_template("app.test"), 8000, balance="round-robin")
PARSER = cast("ResponseParser", object())


class Stream:
    """A connection. `takes`: how many bytes its buffer takes at once; None: it is broken."""

    def __init__(self, *, quiet: bool = True) -> None:
        self.quiet = quiet
        self.takes: int | None = 1000
        self.sent = b""
        self.closed = False

    def is_quiet(self) -> bool:
        return self.quiet

    def send_now(self, data: bytes) -> int:
        if self.takes is None:
            raise trio.BrokenResourceError
        self.sent += data[: self.takes]
        return min(len(data), self.takes)

    def close(self) -> None:
        self.closed = True


def stream(*, quiet: bool = True) -> ByteStream:
    return cast("ByteStream", Stream(quiet=quiet))


@define
class Site:
    """A source and a dialer. `found`: what the source says when it is asked; None: nothing, for ever."""

    cache: tuple[Endpoint, ...] | None = None
    found: tuple[Endpoint, ...] | SplicerError | None = (ONE,)
    reached: dict[Endpoint, ByteStream | SplicerError | None] = field(factory=dict)  # None: it hangs
    balancer: Balancer = field(factory=Balancer)
    pool: IdlePool = field(factory=IdlePool)
    asked: list[bool] = field(factory=list)  # whether each was a refresh
    dialled: list[Endpoint] = field(factory=list)
    yields: int = 0
    outcomes: Outcomes = NO_OUTCOMES
    refused: ConnectFailed | None = None  # how TLS fails
    secured: list[PodProof] = field(factory=list)  # what was asked for by TLS
    spare: list[ByteStream] = field(factory=list)  # what can be had once descriptors were freed

    async def secure(self, stream: ByteStream, proof: PodProof, _: Endpoint) -> ByteStream:
        self.secured.append(proof)
        if self.refused is not None:
            raise self.refused
        return stream

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        return None if self.cache is None else Candidates(self.cache, fresh=False)

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        self.asked.append(refresh)
        if self.found is None:
            await trio.sleep_forever()
        if isinstance(self.found, SplicerError):
            raise self.found
        assert self.found is not None
        return Candidates(self.found, fresh=True)

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        return self.cache or ()

    def of_pods(self, pods: object) -> tuple[Endpoint, ...]:
        return ()

    async def dial(self, endpoint: Endpoint, in_time: InTime) -> ByteStream:
        self.dialled.append(endpoint)
        reached = self.reached[endpoint]
        if reached is None:
            await in_time(trio.sleep_forever)
        if isinstance(reached, SplicerError):
            raise type(reached)(*reached.args)  # a new one: its traceback leads to this site
        assert reached is not None
        return reached

    def yield_to_relay(self) -> None:
        self.yields += 1

    async def free_descriptors(self) -> bool:
        if not self.spare:
            return False
        self.reached[ONE] = self.spare.pop()
        return True

    def connector(self, **deadlines: float) -> Connector:
        budget = AttemptBudget.start(Deadlines(**deadlines), trio.current_time())
        return Connector(self, Endpoints(self, self.balancer), budget)


@pytest.fixture
def site() -> Site:
    return Site()


async def connect(
    connector: Connector,
    outcome: AttemptOutcome | None = None,
    *,
    avoid: frozenset[tuple[str, int]] = frozenset(),
    reusable: bool = False,
) -> PodLeg:
    outcome = AttemptOutcome("app") if outcome is None else outcome
    return await connector.connect(APP, "app.test", outcome, PARSER, avoid=avoid, reusable=reusable)


async def test_a_leg_leads_to_the_endpoint_and_is_counted_there(site: Site) -> None:
    site.reached[ONE] = there = stream()
    connector, outcome = site.connector(), AttemptOutcome("app")
    leg = await connect(connector, outcome)
    assert (leg.stream, leg.endpoint, leg.parser, leg.reused) == (there, ONE, PARSER, False)
    assert (outcome.endpoint, outcome.pod, outcome.failure) == ("10.0.0.1:8000", "app.test", None)
    assert (site.balancer.live(ONE), site.yields) == (1, 1)
    connector.release()
    connector.release()
    assert site.balancer.live(ONE) == 0


async def test_the_count_can_be_handed_over(site: Site) -> None:
    site.reached[ONE] = stream()
    connector = site.connector()
    await connect(connector)
    hold = connector.take_hold()
    connector.release()
    assert site.balancer.live(ONE) == 1
    hold.__exit__()
    assert site.balancer.live(ONE) == 0


async def test_durations_are_kept_however_it_ends(site: Site, autojump_clock: MockClock) -> None:
    site.found, outcome = None, AttemptOutcome("app")
    with pytest.raises(ResolveTimeout):
        await connect(site.connector(resolve=2), outcome)
    assert (outcome.resolve, outcome.connect, outcome.endpoint) == (2, 0, None)
    site.found, site.reached[ONE] = (ONE,), None
    with pytest.raises(ConnectTimeout, match=r"10\.0\.0\.1:8000"):
        await connect(site.connector(connect=3), outcome)
    assert (outcome.resolve, outcome.connect, outcome.endpoint) == (2, 3, "10.0.0.1:8000")


@pytest.mark.parametrize("silent", ["source", "endpoint"])
async def test_all_is_within_the_budget(site: Site, autojump_clock: MockClock, silent: str) -> None:
    site.found = None if silent == "source" else (ONE,)
    site.reached[ONE] = None
    with pytest.raises(AttemptsTimeout):
        await connect(site.connector(attempts=1))
    assert trio.current_time() == pytest.approx(1)


@pytest.mark.parametrize("silent", ["source", "endpoint"])
async def test_who_gives_up_waits_no_longer(
    site: Site, autojump_clock: MockClock, nursery: trio.Nursery, silent: str
) -> None:
    site.found = None if silent == "source" else (ONE,)
    site.reached[ONE] = None
    connector = site.connector()

    async def leave() -> None:
        await trio.sleep(0.5)
        connector.give_up()

    nursery.start_soon(leave)
    with pytest.raises(ClientGone):
        await connect(connector)
    assert trio.current_time() == pytest.approx(0.5)
    assert connector.gone


async def test_endpoints_are_dialled_in_their_order_until_one_is_reached(site: Site) -> None:
    site.found = (ONE, TWO, THREE)
    site.reached |= {ONE: ConnectRefused("no"), TWO: ConnectFailed("no"), THREE: stream()}
    assert (await connect(site.connector())).endpoint == THREE
    assert site.dialled == [ONE, TWO, THREE]
    assert [site.balancer.live(endpoint) for endpoint in (ONE, TWO, THREE)] == [0, 0, 1]


@pytest.mark.parametrize(("deadline", "waited"), [(3, 0.25), (0.3, 0.15)])
async def test_one_that_hangs_leaves_time_for_the_next(
    site: Site, autojump_clock: MockClock, deadline: float, waited: float
) -> None:
    site.found = (ONE, TWO)
    site.reached |= {ONE: None, TWO: stream()}
    connector, outcome = site.connector(connect=deadline), AttemptOutcome("app")
    assert (await connect(connector, outcome)).endpoint == TWO
    assert (trio.current_time(), outcome.connect) == pytest.approx((waited, waited))
    assert (outcome.endpoint, outcome.failure) == ("10.0.0.2:8000", None)
    assert (site.balancer.live(ONE), site.balancer.live(TWO)) == (0, 1)
    connector.release()
    assert len(site.balancer.loads) == 0


async def test_what_connects_at_once_needs_neither_a_task_nor_a_wait(site: Site) -> None:
    site.cache = (ONE, TWO, THREE)
    site.reached = dict.fromkeys(site.cache, stream())
    connector = site.connector()
    with trio.testing.assert_no_checkpoints():
        await connect(connector)
    assert len(site.dialled) == 1


# Three quarters are dead, as if they were on one node: some drop every packet, the others refuse.
@pytest.mark.parametrize("policy", ["least-tunnels", "round-robin", "random"])
async def test_the_first_calls_wait_for_dead_addresses_and_the_later_ones_do_not(
    site: Site, autojump_clock: MockClock, nursery: trio.Nursery, policy: str
) -> None:
    site.balancer = Balancer(Random(1))
    site.found = every = tuple(Endpoint("app.test", f"10.0.1.{last}", 8000) for last in range(100, 132))
    for number, endpoint in enumerate(every):
        site.reached[endpoint] = [None, ConnectRefused("no"), stream()][number // 12]
    upstream, waits = evolve(APP, balance=policy), []
    nursery.start_soon(Probes(site.balancer.reachability, site.dial).run)
    for _ in range(64):
        outcome = AttemptOutcome("app")
        await site.connector().connect(upstream, "app.test", outcome, PARSER)
        waits.append(outcome.connect)
        await trio.sleep(0.05)
    assert max(waits) < 1
    site.dialled.clear()
    started = trio.current_time()
    for _ in range(64):
        await site.connector().connect(upstream, "app.test", AttemptOutcome("app"), PARSER)
    assert (trio.current_time(), set(site.dialled)) == (started, set(every[24:]))
    await trio.sleep(10)
    site.reached[every[0]] = stream()
    for _ in range(64):
        outcome = AttemptOutcome("app")
        await site.connector().connect(upstream, "app.test", outcome, PARSER)
        assert outcome.connect == 0, "no call waits for what is tried again"
        await trio.sleep(0.1)
    assert set(site.dialled) == set(every)
    assert site.dialled.count(every[0]) > 1, "it is one of the others again"
    assert site.dialled.count(every[1]) == 1


@pytest.mark.parametrize("seed", range(20))
async def test_many_calls_at_once_wait_for_silent_addresses_no_more_than_two_turns(
    site: Site, autojump_clock: MockClock, nursery: trio.Nursery, seed: int
) -> None:
    nursery.start_soon(Probes(site.balancer.reachability, site.dial).run)
    every = [Endpoint("app.test", f"10.0.1.{last}", 8000) for last in range(100, 132)]
    site.found, alive = tuple(every), Random(seed).sample(every, 8)
    site.reached = {endpoint: stream() if endpoint in alive else None for endpoint in every}
    waits: list[float] = []

    async def call() -> None:
        outcome = AttemptOutcome("app")
        await site.connector().connect(evolve(APP, balance="least-tunnels"), "app.test", outcome, PARSER)
        waits.append(outcome.connect)

    for at_once in (28, 16):
        async with trio.open_nursery() as callers:
            for _ in range(at_once):
                callers.start_soon(call)
    assert max(waits) <= 2 * STAGGER
    assert max(waits[28:]) <= STAGGER
    await trio.sleep(3)
    waits.clear()
    for _ in range(32):
        await call()
    assert max(waits) == 0


@pytest.mark.parametrize("seed", range(20))
async def test_a_first_call_waits_until_it_or_a_probe_finds_one_that_is_well(
    site: Site, autojump_clock: MockClock, nursery: trio.Nursery, seed: int
) -> None:
    nursery.start_soon(Probes(site.balancer.reachability, site.dial).run)
    every = [Endpoint("app.test", f"10.0.1.{last}", 8000) for last in range(100, 132)]
    site.found, alive = tuple(every), Random(seed).sample(every, 8)
    site.reached = {endpoint: stream() if endpoint in alive else None for endpoint in every}
    outcome = AttemptOutcome("app")
    await site.connector().connect(APP, "app.test", outcome, PARSER)
    met = [endpoint in alive for endpoint in dict.fromkeys(site.dialled)]
    assert outcome.connect == STAGGER * (0 if met[0] else 1 + (met.index(True) - 1) // 4)


async def test_an_endpoint_that_is_reached_again_is_as_the_others(site: Site) -> None:
    site.found = (ONE, TWO)
    site.reached |= {ONE: ConnectRefused("no"), TWO: ConnectRefused("no")}
    with pytest.raises(ConnectRefused):
        await connect(site.connector())
    assert len(site.balancer.reachability) == 2
    site.reached[ONE] = stream()
    assert (await connect(site.connector())).endpoint == ONE
    site.dialled.clear()
    for _ in range(4):
        await connect(site.connector())
    assert site.dialled == [ONE] * 4


async def test_who_was_overtaken_may_be_tried_again(site: Site, autojump_clock: MockClock) -> None:
    site.cache = site.found = (ONE, TWO)
    site.reached |= {ONE: None, TWO: stream()}
    connector = site.connector()
    await connect(connector)
    assert connector.left(APP, "app.test", frozenset()) is Left.OTHER
    site.reached[ONE] = stream()
    assert (await connect(connector)).endpoint == ONE


async def test_a_pod_of_one_address_has_the_whole_time(site: Site, autojump_clock: MockClock) -> None:
    site.reached[ONE] = None
    with pytest.raises(ConnectTimeout):
        await connect(site.connector(connect=3))
    assert (trio.current_time(), site.dialled) == (3, [ONE])
    assert len(site.balancer.reachability) == 1


async def test_when_all_hang_or_fail_the_error_is_that_of_the_endpoint_named(
    site: Site, autojump_clock: MockClock
) -> None:
    site.found, outcome = (ONE, TWO, THREE), AttemptOutcome("app")
    site.reached |= {ONE: None, TWO: None, THREE: ConnectRefused("no")}
    with pytest.raises(ConnectTimeout, match=r"^10\.0\.0\.2:8000: "):
        await connect(site.connector(connect=3), outcome)
    assert (trio.current_time(), outcome.endpoint, outcome.connect) == (3, "10.0.0.2:8000", 3)
    assert len(site.balancer.loads) == 0


async def test_an_idle_connection_of_the_next_one_is_taken(site: Site, autojump_clock: MockClock) -> None:
    site.found, site.reached[ONE] = (ONE, TWO), None
    site.pool.give(TWO, idle := stream())
    leg = await connect(site.connector(), reusable=True)
    assert (leg.stream, leg.reused, site.dialled) == (idle, True, [ONE])


async def test_who_gives_up_leaves_nothing_under_way(
    site: Site, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    site.found = (ONE, TWO, THREE)
    site.reached |= dict.fromkeys(site.found)
    connector = site.connector()

    async def leave() -> None:
        await trio.sleep(0.6)
        connector.give_up()

    nursery.start_soon(leave)
    with pytest.raises(ClientGone):
        await connect(connector)
    assert (trio.current_time(), site.dialled, len(site.balancer.loads)) == (0.6, [ONE, TWO, THREE], 0)


async def test_what_has_failed_is_not_tried_again_unless_it_is_excused(site: Site) -> None:
    site.found = (ONE, TWO)
    site.reached |= {ONE: stream(), TWO: stream()}
    connector = site.connector()
    first, second = [(await connect(connector)).endpoint for _ in range(2)]
    assert {first, second} == {ONE, TWO}
    with pytest.raises(NoEndpoint):
        await connect(connector)
    connector.excuse(second)
    assert (await connect(connector)).endpoint == second


async def test_what_a_retry_could_go_to(site: Site) -> None:
    def left(*avoid: Endpoint) -> Left:
        return connector.left(APP, "app.test", frozenset((each.address, each.port) for each in avoid))

    site.reached |= dict.fromkeys((ONE, TWO), stream())
    site.cache, connector = None, site.connector()
    assert left() is Left.NONE, "nothing is known"
    site.cache = (ONE, TWO)
    assert left() is left(ONE) is Left.OTHER
    assert left(ONE, TWO) is Left.NONE
    await connect(connector)
    assert left() is Left.OTHER
    await connect(connector)
    assert left() is Left.NONE, "there are two, and neither is left"
    site.cache = (ONE,)
    assert (left(), left(ONE)) == (Left.SAME, Left.NONE)
    connector.repeat(APP, "app.test")
    assert left() is Left.OTHER
    assert (await connect(connector)).endpoint == ONE


async def test_a_pod_that_the_url_names_is_not_repeated(site: Site) -> None:
    named = Upstream("pod", parse_template("{pod}.app.test"), 8000)
    site.cache, connector = (ONE,), site.connector()
    site.reached[ONE] = stream()
    await connector.connect(named, "a.app.test", AttemptOutcome("pod"), PARSER)
    assert connector.left(named, "a.app.test", frozenset()) is Left.NONE


@pytest.mark.parametrize(
    ("found", "could"), [((ONE,), True), ((), False), (NameNotFound("gone"), False), (None, False)]
)
async def test_whether_there_is_anybody_to_connect_to(
    site: Site, autojump_clock: MockClock, found: tuple[Endpoint, ...] | SplicerError | None, could: bool
) -> None:
    site.found = found
    assert await site.connector().could_connect(APP, "app.test", frozenset()) is could
    assert site.dialled == []


async def test_who_has_failed_or_is_avoided_is_nobody(site: Site) -> None:
    site.found, connector = (ONE, TWO), site.connector()
    site.reached |= dict.fromkeys((ONE, TWO), stream())
    failed = (await connect(connector)).endpoint
    [other] = {ONE, TWO} - {failed}
    assert await connector.could_connect(APP, "app.test", frozenset())
    assert not await connector.could_connect(APP, "app.test", frozenset({(other.address, other.port)}))


async def test_what_is_to_be_avoided_is(site: Site) -> None:
    site.found = (ONE, TWO)
    site.reached[TWO] = stream()
    for _ in range(2):
        leg = await connect(site.connector(), avoid=frozenset({(ONE.address, ONE.port)}))
        assert leg.endpoint == TWO


@pytest.mark.parametrize(
    ("reusable", "quiet", "reused"), [(True, True, True), (True, False, False), (False, True, False)]
)
async def test_an_idle_connection_is_taken_if_it_may_and_is_fit(
    site: Site, reusable: bool, quiet: bool, reused: bool
) -> None:
    idle, new = stream(quiet=quiet), stream()
    site.pool.give(ONE, idle)
    site.reached[ONE] = new
    leg = await connect(site.connector(), reusable=reusable)
    assert (leg.stream, leg.reused) == ((idle, True) if reused else (new, False))
    assert site.balancer.live(ONE) == 1


@pytest.mark.parametrize("failing", [ConnectRefused("no"), ConnectFailed("no"), None])
async def test_addresses_at_hand_that_fail_are_asked_for_again(
    site: Site, autojump_clock: MockClock, failing: SplicerError | None
) -> None:
    site.cache, site.found = (ONE,), (ONE, TWO)
    site.reached |= {ONE: failing, TWO: stream()}
    assert (await connect(site.connector())).endpoint == TWO
    assert site.asked == [True]


@pytest.mark.parametrize("found", [(ONE,), NameNotFound("gone")])
async def test_asking_again_in_vain_leaves_the_failure_as_it_was(
    site: Site, found: tuple[Endpoint, ...] | SplicerError
) -> None:
    site.cache, site.found = (ONE,), found
    site.reached[ONE] = ConnectRefused("no")
    with pytest.raises(ConnectRefused):
        await connect(site.connector())


async def test_fresh_addresses_that_fail_are_not_asked_for_again(site: Site) -> None:
    site.reached[ONE] = ConnectRefused("no")
    with pytest.raises(ConnectRefused):
        await connect(site.connector())
    assert site.asked == [False]


async def test_descriptors_are_freed_once(site: Site) -> None:
    site.reached[ONE] = NoDescriptor("EMFILE")
    with pytest.raises(NoDescriptor):
        await connect(site.connector())
    site.spare.append(freed := stream())
    assert (await connect(site.connector())).stream is freed


@pytest.mark.parametrize("second", [stream(), NoDescriptor("EMFILE"), ConnectRefused("no"), None])
def test_several_connects_leave_no_garbage(second: ByteStream | SplicerError | None) -> None:
    async def play() -> None:
        site = Site(found=(ONE, TWO, THREE))
        site.reached |= {ONE: None, TWO: second, THREE: NoDescriptor("EMFILE")}
        with suppress(SplicerError):
            await connect(site.connector())

    async def count() -> int:
        await play()
        with counting_garbage() as garbage:
            await play()
            return garbage()

    assert trio.run(count, clock=MockClock(autojump_threshold=0)) == 0


async def test_a_header_comes_first_and_no_idle_connection_is_taken(site: Site) -> None:
    site.reached[ONE] = there = stream()
    site.pool.give(ONE, stream())
    outcome, own = AttemptOutcome("app"), evolve(APP, proxy_protocol="v1")
    leg = await site.connector().connect(own, "app.test", outcome, PARSER, reusable=True)
    assert (leg.stream, leg.reused, leg.private) == (there, False, True)
    assert cast("Stream", there).sent == b"PROXY UNKNOWN\r\n", "the edge's own connection, if nobody says whose it is"
    assert len(site.pool) == 1
    leg = await connect(site.connector(), reusable=True)
    assert (leg.reused, leg.private) == (True, False)


@pytest.mark.parametrize("takes", [None, 3])
async def test_a_connection_that_does_not_take_its_header_has_failed(site: Site, takes: int | None) -> None:
    site.reached[ONE] = there = stream()
    cast("Stream", there).takes = takes
    with pytest.raises(ConnectFailed, match="PROXY header"):
        await site.connector().connect(
            evolve(APP, proxy_protocol="v2"), "app.test", AttemptOutcome("app"), PARSER, reusable=True
        )
    assert cast("Stream", there).closed


# ---- TLS ----

_TLS = PodTls("/ca", names=("{host}", "spiffe://a/b"))


async def connect_by_tls(site: Site, tls: PodTls | None = _TLS, *, reusable: bool = True) -> PodLeg:
    upstream = evolve(APP, tls=tls)
    return await site.connector().connect(upstream, "app.test", AttemptOutcome("app"), PARSER, reusable=reusable)


async def test_what_a_pod_must_prove_is_asked_for(site: Site) -> None:
    site.reached[ONE] = stream()
    leg = await connect_by_tls(site)
    assert site.secured == [leg.proof] == [_TLS.proof("app", parse_template("app.test"), "app.test")]
    assert (site.secured[0].sni, site.secured[0].names) == ("app.test", ("app.test", "spiffe://a/b"))
    assert _TLS.proof("app", parse_template("10.0.0.1"), "10.0.0.1").sni is None


async def test_an_idle_connection_serves_only_what_it_has_proved(site: Site) -> None:
    site.pool.give(ONE, plain := stream())
    site.pool.give(ONE, secured := stream(), _TLS.proof("app", parse_template("app.test"), "app.test"))
    site.reached[ONE] = stream()
    assert (await connect_by_tls(site, PodTls("/other"))).stream is site.reached[ONE]
    assert (await connect_by_tls(site)).stream is secured
    assert (await connect_by_tls(site, None)).stream is plain


async def test_one_that_proves_nothing_leaves_the_next_address(site: Site) -> None:
    site.found, site.refused = (ONE, TWO), TlsUntrusted("a stranger")
    site.reached |= {ONE: stream(), TWO: stream()}
    with pytest.raises(TlsUntrusted):
        await connect_by_tls(site)
    assert site.dialled[:2] == [ONE, TWO]
    assert site.balancer.live(ONE) == site.balancer.live(TWO) == 0
