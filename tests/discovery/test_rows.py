"""Rows become endpoints: what is new, and since when each is ready."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.discovery.rows import told_by
from splicer.policy.endpoint_flags import READY, SERVING, TERMINATING, KnownEndpoint
from splicer.policy.slices import Row
from splicer.policy.tiers import Key
from tests.kit.laws import examples

NOW = 1000.0
ONE = ("10.0.0.1", 8000)


def row(address: str = ONE[0], uid: str | None = "u", *, ready: bool = True, pod: str | None = "agent-0") -> Row:
    return Row(pod, address, ONE[1], ready, ready, False, "zone-a", uid)


def known(flags: int = READY | SERVING, since: float = 5.0) -> KnownEndpoint:
    return KnownEndpoint("agent-0", *ONE, flags, "zone-a", since)


def test_conditions_become_flags() -> None:
    told = told_by([Row(None, *ONE, False, True, True, None, None)], (), {}, NOW)
    assert told.endpoints == (KnownEndpoint("", *ONE, SERVING | TERMINATING, "", 0.0),)


def test_those_of_a_first_list_are_not_new() -> None:
    told = told_by([row()], None, {}, NOW)
    assert told.endpoints[0].since == 0.0
    assert told.uids == {ONE: "u"}


def test_who_comes_later_is_new() -> None:
    told = told_by([row()], (), {}, NOW)
    assert told.endpoints[0].since == NOW


def test_who_stays_ready_stays_as_old_as_it_is() -> None:
    for uids in ({ONE: "u"}, {}):  # an earlier process did not leave the uids
        told = told_by([row()], (known(),), uids, NOW)
        assert told.endpoints[0].since == 5.0


def test_who_becomes_ready_again_is_new() -> None:
    gone = told_by([row(ready=False)], (known(),), {ONE: "u"}, NOW)
    assert gone.endpoints[0].since == 0.0
    back = told_by([row()], gone.endpoints, gone.uids, NOW + 1)
    assert back.endpoints[0].since == NOW + 1


def test_another_pod_at_the_same_address_is_new() -> None:
    told = told_by([row(uid="v")], (known(),), {ONE: "u"}, NOW)
    assert told.endpoints[0].since == NOW


rows = st.lists(
    st.builds(
        Row,
        st.none() | st.sampled_from(["a", "b"]),
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.just(80),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.none() | st.just("zone"),
        st.none() | st.sampled_from(["u", "v"]),
    ),
    max_size=2,
    unique_by=lambda row: row.address,
)


@settings(max_examples=examples(40))
@given(st.lists(rows, min_size=1, max_size=4))
def test_nobody_is_ready_since_the_future_and_ages_only_grow(several: list[list[Row]]) -> None:
    before: tuple[KnownEndpoint, ...] | None = None
    uids: dict[Key, str | None] = {}
    for second, some in enumerate(several, 1):
        told = told_by(some, before, uids, float(second))
        assert [(each.address, each.port) for each in told.endpoints] == [(one.address, one.port) for one in some]
        for each in told.endpoints:
            assert 0 <= each.since <= second
        before, uids = told.endpoints, dict(told.uids)
