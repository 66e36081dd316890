"""Verdicts at the endpoints of names: who comes last, who is refused, and what costs nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest
from attrs import define, evolve, field

from splicer.endpoint_errors import PodEjected, PodUnfit, PodUnhealthy
from splicer.health import HealthCheck, OutlierDetection
from splicer.model import Endpoint, Upstream
from splicer.policy.endpoint_flags import EJECTED, PROBATION, SUSPECT, UNHEALTHY, Verdict
from splicer.policy.tiers import Key, Purpose, Verdicts
from splicer.routing.template import parse_template
from splicer.upstream.judged_names import JudgedNames
from splicer.upstream.source import Candidates

FOUR = tuple(Endpoint("app.test", f"10.0.0.{last}", 8000) for last in range(1, 5))
KEYS: list[Key] = [(each.address, each.port) for each in FOUR]
APP = Upstream("app", parse_template("app.test"), 8000, outlier_detection=OutlierDetection())
POD = evolve(APP, host=parse_template("{pod}.pods.test"))
NOW = 1000.0
OUT, ILL = Verdict(EJECTED, until=NOW + 5), Verdict(UNHEALTHY, lapses=NOW + 5)


@define
class Names:
    """A source; `looks` counts how often it is asked for verdicts."""

    endpoints: tuple[Endpoint, ...] = FOUR
    verdicts: dict[Key, Verdict] = field(factory=dict)
    looks: int = 0
    now: float = NOW

    def at_hand(self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST) -> Candidates | None:
        return Candidates(self.endpoints, fresh=False) if self.endpoints else None

    async def find(
        self, upstream: Upstream, host: str, purpose: Purpose = Purpose.REQUEST, *, refresh: bool = False
    ) -> Candidates:
        return Candidates(self.endpoints, fresh=True)

    def known(self, upstream: Upstream, host: str) -> tuple[Endpoint, ...]:
        return self.endpoints

    def of_pods(self, pods: Collection[str]) -> Iterable[Endpoint]:
        return self.endpoints

    def look(self) -> Verdicts:
        self.looks += 1
        return self.verdicts

    def judged(self) -> JudgedNames:
        return JudgedNames(self, self.look, lambda: self.now)


def behind(names: Names, upstream: Upstream = APP, purpose: Purpose = Purpose.REQUEST) -> frozenset[Key]:
    found = names.judged().at_hand(upstream, "app.test", purpose)
    assert found is not None
    assert found.endpoints == names.endpoints, "nobody is left out"
    return found.behind


@pytest.mark.parametrize(
    ("verdict", "last"),
    [
        (OUT, True),
        (ILL, True),
        (Verdict(SUSPECT), False),
        (Verdict(PROBATION), False),
        (Verdict(EJECTED, until=NOW), False),
        (Verdict(UNHEALTHY, lapses=NOW), False),
    ],
)
def test_who_comes_last(verdict: Verdict, last: bool) -> None:
    names = Names(verdicts={KEYS[1]: verdict})
    assert behind(names) == (frozenset(KEYS[1:2]) if last else frozenset())


async def test_a_lookup_is_judged_too() -> None:
    found = await Names(verdicts={KEYS[0]: OUT}).judged().find(APP, "app.test")
    assert found.behind == {KEYS[0]}
    assert found.fresh


@pytest.mark.parametrize(("out", "heeded"), [(1, True), (2, True), (3, False), (4, False)])
def test_with_fewer_than_half_left_nobody_is_behind(out: int, heeded: bool) -> None:
    assert bool(behind(Names(verdicts=dict.fromkeys(KEYS[:out], OUT)))) is heeded


@pytest.mark.parametrize(("verdict", "error"), [(OUT, PodEjected), (ILL, PodUnhealthy)])
def test_a_named_pod(verdict: Verdict, error: type[PodUnfit]) -> None:
    pod = FOUR[:1]
    names = Names(pod, {KEYS[0]: verdict})
    with pytest.raises(error) as refused:
        behind(names, POD, Purpose.CALL_OR_FALLBACK)
    assert (refused.value.endpoint, refused.value.pod, refused.value.status) == (str(pod[0]), "app.test", 503)
    for purpose in (Purpose.CALL, Purpose.REQUEST):
        assert behind(names, POD, purpose) == frozenset(), "there is nothing better"
    names.now = NOW + 5
    assert behind(names, POD, Purpose.CALL_OR_FALLBACK) == frozenset()


def test_a_pod_is_refused_only_if_all_its_addresses_are_unfit() -> None:
    names = Names(FOUR[:2], {KEYS[0]: OUT})
    assert behind(names, POD, Purpose.CALL_OR_FALLBACK) == {KEYS[0]}
    names.verdicts[KEYS[1]] = ILL
    with pytest.raises(PodUnhealthy):
        behind(names, POD, Purpose.CALL_OR_FALLBACK)


def test_only_judged_upstreams_look() -> None:
    names = Names(verdicts=dict.fromkeys(KEYS, OUT))
    assert behind(names, evolve(APP, outlier_detection=None)) == frozenset()
    assert names.looks == 0
    behind(names, evolve(APP, outlier_detection=None, health_check=HealthCheck()))
    assert names.looks == 1


def test_what_needs_a_lookup_is_not_judged_yet() -> None:
    names = Names(())
    assert names.judged().at_hand(APP, "app.test") is None
    assert names.judged().known(APP, "app.test") == ()
    assert list(names.judged().of_pods(["a"])) == []
