"""The states of a worker: what may follow what."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.worker.lifecycle import IllegalTransition, Lifecycle, State

_LIVES = (
    (State.PREPARED, State.SERVING, State.RETIRING, State.ORPHANED),
    (State.PREPARED, State.SERVING, State.ORPHANED),
    (State.PREPARED, State.ORPHANED),
    (State.ORPHANED,),
)


def _after(*states: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for state in states:
        lifecycle.enter(state)
    return lifecycle


@pytest.mark.parametrize("life", _LIVES)
def test_a_life_goes_on_in_this_order(life: tuple[State, ...]) -> None:
    assert _after(*life).state is life[-1]


# The law: whatever is asked for in whichever order, the states that were entered are the beginning of a life.
@given(wanted=st.lists(st.sampled_from(State), max_size=12))
def test_nothing_else_is_ever_entered(wanted: list[State]) -> None:
    lifecycle = Lifecycle()
    entered: list[State] = []
    for state in wanted:
        with suppress(IllegalTransition):
            lifecycle.enter(state)
            entered.append(state)
        assert lifecycle.state is (entered[-1] if entered else State.IMPORTED)
    assert any(life[: len(entered)] == tuple(entered) for life in _LIVES)


def test_a_check_changes_nothing() -> None:
    lifecycle = Lifecycle()
    lifecycle.check(State.PREPARED)
    with pytest.raises(IllegalTransition, match="a worker that is imported can't be serving next") as raised:
        lifecycle.check(State.SERVING)
    assert (raised.value.state, raised.value.wanted) == (State.IMPORTED, State.SERVING)
    assert lifecycle.state is State.IMPORTED


def test_only_one_that_has_a_slot_or_had_one_may_have_calls() -> None:
    served = [state for state in State if _after(*_way_to(state)).has_served]
    assert served == [State.SERVING, State.RETIRING]


def _way_to(state: State) -> tuple[State, ...]:
    if state is State.IMPORTED:
        return ()
    life = next(life for life in _LIVES if state in life)
    return (state,) if state is State.ORPHANED else life[: life.index(state) + 1]
