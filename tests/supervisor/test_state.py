"""What a supervisor leaves to the program that takes its place, as that one reads it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given

from splicer.ipc.codec import to_json
from splicer.ipc.facts import ConfigSummary, OperatorDrains, Reloads
from splicer.supervisor import state as module
from splicer.supervisor.processes import Process, State
from splicer.supervisor.state import ControlState, ProcessState, SupervisorState, read
from splicer.vault.handover import ChannelState, HolderState, TunnelState
from splicer.vault.protocol import channel
from tests.ipc.values import values

# What an older program wrote in this version of the state: none may be missing from what a newer one understands.
_FIELDS = (
    "fds",
    "summary",
    "generation",
    "draining",
    "board",
    "listeners",
    "processes",
    "holder",
    "counts",
    "drains",
    "reloads",
    "restarts",
    "control",
    "last_request",
    "versions",
)

STATE = SupervisorState(
    fds=(3, 9),
    summary=ConfigSummary("a text", (1, 2), {"listen": (("127.0.0.1", 80),)}, 2, 60.0, "json"),
    generation=4,
    draining=None,
    board=3,
    listeners={"listen": (("127.0.0.1", 80, 5),), "admin": ()},
    processes=(ProcessState(100, 1, 6, State.SERVING, 1, 1),),
    holder=HolderState(
        2,
        (ChannelState(7, 1, 1, serves=True, journal=-1, pipes={3: 8}),),
        (TunnelState(2, b"\x00\xff passport", 10, 11, 1, 0, {1: 12}, owner=0),),
    ),
    counts=None,
    drains=OperatorDrains(all=1.5, pods={"pod-1": 2.5}),
    reloads=Reloads(3, 1, last_ok=False, last_at=5.0),
    restarts=2,
    control=ControlState("/run/x.sock", 13, ((14, "reload"), (15, ""))),
    last_request=77,
)


def _raw() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(to_json(STATE))
    return raw


@given(values(SupervisorState))
def test_all_that_is_written_is_read(state: SupervisorState) -> None:
    state = replace(state, versions=STATE.versions)
    assert read(to_json(state)) == state


def test_a_process_is_written_as_it_is() -> None:
    ours, its = channel()
    with ours, its:
        for number, state in enumerate(State):
            process = Process(100 + number, 1 + number, ours, state, slot=number)
            process.version, process.mover = number % 2, "native"
            written = ProcessState.of(process)
            assert written == ProcessState(100 + number, 1 + number, ours.fileno(), state, number, number % 2, "native")


# An upgrade's preflight says what the new program must know; it goes there through the old one.
def test_what_a_newer_program_says_of_the_file_goes_through_this_one() -> None:
    raw = _raw()
    raw["summary"]["zones"] = ["a", {"b": 1}]
    state = read(json.dumps(raw))
    assert json.loads(to_json(state))["summary"]["zones"] == ["a", {"b": 1}]


def test_a_field_that_is_not_known_is_ignored() -> None:
    assert read(json.dumps({**_raw(), "later": 1})) == STATE


def test_all_fields_that_a_program_may_meet_are_there() -> None:
    assert tuple(field.name for field in fields(SupervisorState))[: len(_FIELDS)] == _FIELDS


@pytest.mark.parametrize("name", ["state", "control", "vault"])
@pytest.mark.parametrize(("step", "understood"), [(-2, False), (-1, True), (0, True), (1, False)])
def test_only_its_own_version_and_the_one_before_are_understood(name: str, step: int, understood: bool) -> None:
    raw = _raw()
    raw["versions"][name] += step
    if understood:
        read(json.dumps(raw))
    else:
        ours = module._VERSIONS[name]
        with pytest.raises(
            ValueError, match=f"{name} is of version {ours + step}; understood are {ours - 1} and {ours}"
        ):
            read(json.dumps(raw))


@pytest.mark.parametrize("key", _FIELDS)
def test_without_one_of_its_fields_there_is_no_state(key: str) -> None:
    raw = _raw()
    del raw[key]
    with pytest.raises(ValueError):
        read(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"versions": 1}'])
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


# Its workers count by route from then on; those of before are replaced.
def test_a_program_without_counts_by_route_has_left_a_state() -> None:
    raw = _raw()
    del raw["routes"]
    assert read(json.dumps(raw)).routes is None


def test_a_program_without_outcomes_of_connects_has_left_a_state() -> None:
    raw = _raw()
    del raw["connects"]
    assert read(json.dumps(raw)).connects is None


def test_a_program_without_discovery_has_left_a_state() -> None:
    raw = _raw()
    del raw["endpoints"]
    assert read(json.dumps(raw)).endpoints is None
