"""What is remembered of endpoints: from attempts, for a while."""

from __future__ import annotations

import pytest
from attrs import evolve
from trio.testing import MockClock

from splicer.errors import (
    AttemptsTimeout,
    BadAnswer,
    ClientGone,
    HandshakeTimeout,
    NoDescriptor,
    PodDraining,
    UnwantedStatus,
)
from splicer.record import AttemptOutcome
from splicer.upstream import status as module
from splicer.upstream.status import EndpointState, EndpointStates

ONE = "10.0.0.1:8000"


@pytest.fixture
def states(mock_clock: MockClock) -> EndpointStates:
    mock_clock.jump(1000)
    return EndpointStates()


def tried(states: EndpointStates, where: str | None, failure: str | None = None, upstream: str = "pod") -> None:
    states.learn(AttemptOutcome(upstream, where, failure, pod="pod-1"))


async def test_how_the_last_attempt_went_is_known_and_since_when(states: EndpointStates, mock_clock: MockClock) -> None:
    told: list[EndpointState] = []
    for failure in (None, None, "connect_refused", "connect_refused", "pod_reset", None):
        tried(states, ONE, failure)
        told += [evolve(state) for state in states.known()]
        mock_clock.jump(10)
    assert [(state.failure, state.since) for state in told] == [
        (None, 1000),
        (None, 1000),
        ("connect_refused", 1020),
        ("connect_refused", 1020),
        ("pod_reset", 1040),
        (None, 1050),
    ]


async def test_an_endpoint_is_known_by_its_upstream(states: EndpointStates, mock_clock: MockClock) -> None:
    tried(states, ONE, "pod_reset")
    tried(states, ONE, None, "any-pod")
    assert states.known() == (
        EndpointState("pod", ONE, "pod-1", "pod_reset", 1000, 1000),
        EndpointState("any-pod", ONE, "pod-1", None, 1000, 1000),
    )


@pytest.mark.parametrize("kind", [HandshakeTimeout, AttemptsTimeout, BadAnswer, UnwantedStatus])
async def test_an_answer_that_serves_nobody_is_the_endpoints_fault(
    states: EndpointStates, kind: type[HandshakeTimeout]
) -> None:
    tried(states, ONE, kind.reason)
    assert [state.failure for state in states.known()] == [kind.reason]


# What a client does, or this machine lacks, must not make a pod look ill.
@pytest.mark.parametrize("failure", ["abandoned", PodDraining.reason, ClientGone.reason, NoDescriptor.reason])
async def test_what_says_nothing_about_an_endpoint_is_not_learnt(states: EndpointStates, failure: str) -> None:
    tried(states, ONE, failure)
    assert states.known() == ()
    tried(states, ONE)
    tried(states, ONE, failure)
    assert [state.failure for state in states.known()] == [None]


async def test_an_attempt_that_came_to_no_endpoint_says_nothing(states: EndpointStates) -> None:
    tried(states, None, "name_not_found")
    assert states.known() == ()


@pytest.mark.parametrize(("seconds", "left"), [(600.0, 1), (600.1, 0)])
async def test_what_nobody_tries_any_more_is_forgotten(
    states: EndpointStates, mock_clock: MockClock, seconds: float, left: int
) -> None:
    tried(states, ONE)
    mock_clock.jump(500)
    tried(states, ONE)
    mock_clock.jump(seconds)
    assert [state.since for state in states.known()] == [1000] * left


async def test_only_so_many_are_remembered(states: EndpointStates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    for number in range(5):
        tried(states, f"10.0.0.{number}:8000")
    tried(states, "10.0.0.4:8000", "pod_reset")
    assert [state.endpoint for state in states.known()] == [f"10.0.0.{number}:8000" for number in (2, 3, 4)]
