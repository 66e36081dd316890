from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.connect_board import ConnectBoard
from splicer.model import Endpoint
from splicer.upstream.reachability import SECONDS, Reachability, key_of

PODS = [Endpoint("any-pod", f"10.0.0.{number}", 8000) for number in range(1, 8)]

some = st.lists(st.sampled_from(PODS), unique=True)
events = st.lists(st.tuples(st.sampled_from(PODS), st.floats(0, 2 * SECONDS), st.sampled_from(["f", "s", "c"])))


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def tell(known: Reachability, pod: Endpoint, what: str) -> None:
    {"f": known.failed, "s": known.silent, "c": known.connected}[what](pod)


def probes(known: Reachability) -> list[Endpoint]:
    """All that are to be probed, if every one is silent."""
    found = []
    while (pod := known.next_probe()) is not None:
        known.silent(pod)
        known.probed(pod)
        found.append(pod)
    return found


@given(some, events)
def test_what_could_not_be_reached_comes_last_and_nothing_is_left_out(
    pods: list[Endpoint], events: list[tuple[Endpoint, float, str]]
) -> None:
    clock = Clock()
    known = Reachability(clock)
    doubts: dict[Endpoint, float] = {}
    for pod, later, what in events:
        clock.now += later
        tell(known, pod, what)
        doubts.pop(pod, None)
        if what != "c":
            doubts[pod] = clock.now
    due = {pod for pod in pods if pod in doubts and doubts[pod] <= clock.now - SECONDS}
    last = {pod: clock.now if pod in due else doubts[pod] for pod in pods if pod in doubts}
    assert known.order(pods) == [pod for pod in pods if pod not in doubts] + sorted(last, key=last.__getitem__)
    assert set(probes(known)) == due
    known.order(pods)
    assert known.next_probe() is None, "there is one probe in ten seconds"


def test_a_probe_that_succeeds_makes_an_endpoint_as_the_others() -> None:
    clock = Clock()
    known = Reachability(clock)
    known.failed(PODS[0])
    clock.now += SECONDS
    assert known.order(PODS)[-1] == PODS[0]
    assert known.wanted.is_set()
    assert known.next_probe() == PODS[0]
    known.connected(PODS[0])
    known.probed(PODS[0])
    assert known.order(PODS) == PODS
    assert (known.next_probe(), known.wanted.is_set()) == (None, False)


def test_who_was_reached_meanwhile_is_not_probed() -> None:
    clock = Clock()
    known = Reachability(clock)
    known.failed(PODS[0])
    clock.now += SECONDS
    known.order(PODS)
    known.connected(PODS[0])
    assert known.next_probe() is None


def test_a_survey_goes_on_as_long_as_no_more_are_well_than_silent() -> None:
    known = Reachability(Clock())
    known.silent(PODS[0])
    known.survey(PODS)
    first, second = known.next_probe(), known.next_probe()
    assert (first, second) == (PODS[6], PODS[5]), "the call itself begins at the other end"
    known.connected(PODS[6])
    assert known.order(PODS) == [PODS[6], *PODS[1:6], PODS[0]], "who is unknown comes behind who is well"
    assert known.next_probe() == PODS[4]
    known.connected(PODS[5])
    assert known.next_probe() is None
    assert known.order(PODS) == [*PODS[1:], PODS[0]]


def test_a_survey_comes_to_all_if_most_are_silent() -> None:
    known = Reachability(Clock())
    known.silent(PODS[0])
    known.survey(PODS)
    known.connected(PODS[3])
    assert probes(known) == [PODS[6], PODS[5], PODS[4], PODS[2], PODS[1]]


def test_a_few_need_no_survey_and_refusals_none_either() -> None:
    known = Reachability(Clock())
    known.silent(PODS[0])
    known.survey(PODS[:4])
    assert known.next_probe() is None
    known = Reachability(Clock())
    known.failed(PODS[0])
    known.survey(PODS)
    assert known.next_probe() is None


def test_a_waiting_call_gets_the_surest_and_of_these_the_idlest() -> None:
    clock = Clock()
    known = Reachability(clock)
    known.silent(PODS[1])
    clock.now += 1
    known.failed(PODS[0])
    assert known.best(PODS[:2], lambda _: 0) == PODS[1], "it failed longer ago"
    assert known.best(PODS[:4], lambda _: 0) == PODS[2]
    known.survey(PODS)
    assert known.next_probe() == PODS[6]
    assert known.best([PODS[6], PODS[5]], lambda _: 0) == PODS[5], "the other one is being probed"
    known.connected(PODS[4])
    known.connected(PODS[5])
    assert known.best(PODS, lambda pod: 2 if pod == PODS[4] else 1) == PODS[5]
    clock.now += SECONDS
    assert known.best(PODS, lambda _: 0) == PODS[2], "what was well so long ago is as all others"


def test_a_failure_is_that_of_an_address_whatever_name_it_goes_by() -> None:
    known = Reachability(Clock())
    known.failed(Endpoint("voice-agent-0", "10.0.0.1", 8000))
    assert known.order(PODS[:2]) == [PODS[1], PODS[0]]
    other = Endpoint("any-pod", "10.0.0.1", 8001)
    assert known.order([other, PODS[1]]) == [other, PODS[1]]


def test_doubts_are_bounded_and_the_oldest_goes() -> None:
    known = Reachability(Clock())
    for number in range(5000):
        pod = Endpoint("x", f"10.1.{number >> 8}.{number & 255}", 8000)
        known.connected(pod)
        known.failed(pod)
    assert len(known) == 4096
    first, newest = Endpoint("x", "10.1.0.0", 8000), Endpoint("x", "10.1.19.135", 8000)
    assert known.order([newest, first]) == [first, newest]
    for number in range(5000):
        known.connected(Endpoint("x", f"10.2.{number >> 8}.{number & 255}", 8000))
    assert len(known._well) == 4096


def test_what_is_too_old_takes_no_memory() -> None:
    clock = Clock()
    known = Reachability(clock)
    known.failed(PODS[0])
    known.connected(PODS[1])
    clock.now += 600
    assert known.order(PODS) == PODS
    known.connected(PODS[2])
    assert (len(known), list(known._well)) == (0, [key_of(PODS[2])])


def test_probes_are_given_up() -> None:
    clock = Clock()
    known = Reachability(clock)
    known.silent(PODS[0])
    known.survey(PODS)
    clock.now += SECONDS
    known.order(PODS)
    known.give_up_probes()
    assert known.next_probe() is None


@pytest.fixture
def board() -> Iterator[ConnectBoard]:
    board = ConnectBoard(4)
    yield board
    os.close(board.fd)


def test_what_one_worker_has_found_out_all_know(board: ConnectBoard) -> None:
    """Their clocks need not agree; what the table says is how long ago something was."""
    one, two = Clock(100), Clock(7000)
    common = Clock(50)
    mine = Reachability(one, board.row(1, common))
    its = Reachability(two, board.row(2, common))
    mine.failed(PODS[0])
    mine.silent(PODS[1])
    for clock in (one, two, common):
        clock.now += SECONDS / 2
    assert its.order(PODS) == [*PODS[2:], PODS[0], PODS[1]]
    assert its.next_probe() is None
    two.now += SECONDS / 2
    its.order(PODS)
    assert its.next_probe() == PODS[0]
    its.connected(PODS[0])
    assert mine.order(PODS) == [PODS[0], *PODS[2:], PODS[1]]
    assert its.order(PODS) == [PODS[0], *PODS[2:], PODS[1]]
