"""What a supervisor leaves to the program that takes its place, as that one reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.supervisor import state as module
from splicer.supervisor.processes import Process, State
from splicer.supervisor.state import ControlState, ProcessState, SupervisorState, fields, read
from splicer.vault.handover import HolderState
from splicer.vault.protocol import channel

_LATER = ("metrics", "counts", "drains", "reloads", "restarts", "control")  # keys that the first program didn't write
_NOTHING_HELD = {"slots": 2, "channels": [], "tunnels": []}

_names = st.text(max_size=20)
_addresses = st.dictionaries(st.tuples(_names, st.integers(0, 65535)), st.integers(3, 9999), max_size=3)
_since = st.dictionaries(_names, st.floats(0, 1e10), max_size=3)
_drains = st.fixed_dictionaries({"all": st.none() | st.floats(0, 1e10), "pods": _since, "routes": _since})
_reloads = st.fixed_dictionaries(
    {"ok": st.integers(0), "failed": st.integers(0), "last_ok": st.booleans(), "last_at": st.floats(0, 1e10)}
)


@pytest.fixture
def workers() -> Iterator[list[Process]]:
    """A process in each state."""
    with ExitStack() as stack:
        made = []
        for number, state in enumerate(State):
            ours, its = channel()
            stack.enter_context(ours)
            its.close()
            made.append(Process(100 + number, 1 + number, ours, state, slot=number))
            made[-1].version = number % 2
        yield made


def _written(**more: Any) -> dict[str, Any]:
    """A state as the other program gets it."""
    written = {
        "facts": {},
        "generation": 0,
        "draining": None,
        "board": 3,
        "listeners": {},
        "admin": {},
        "metrics": {},
        "workers": [],
        "holder": None,
        "counts": None,
        "drains": {},
        "reloads": {},
        "restarts": 0,
        "control": None,
    }
    raw: dict[str, Any] = json.loads(json.dumps(fields(**{**written, **more})))
    return raw


@given(
    st.dictionaries(_names, _names | st.integers() | st.lists(_names), max_size=4),
    st.integers(0),
    st.none() | st.floats(0, 1e10),
    st.integers(3, 9999),
    _addresses,
    _addresses,
    _addresses,
    st.none() | st.tuples(_names, st.integers(3, 9999)),
    _drains,
    _reloads,
    st.integers(0),
    st.none() | st.builds(ControlState),
)
def test_all_that_is_written_is_read(
    facts: dict[str, Any],
    generation: int,
    draining: float | None,
    board: int,
    listeners: dict[tuple[str, int], int],
    admin: dict[tuple[str, int], int],
    metrics: dict[tuple[str, int], int],
    counts: tuple[str, int] | None,
    drains: dict[str, Any],
    reloads: dict[str, Any],
    restarts: int,
    control: ControlState | None,
) -> None:
    raw = fields(
        facts,
        generation,
        draining,
        board,
        listeners,
        admin,
        metrics,
        [],
        _NOTHING_HELD,
        counts,
        drains,
        reloads,
        restarts,
        control,
    )
    assert read(json.loads(json.dumps(raw))) == SupervisorState(
        facts=facts,
        generation=generation,
        draining=draining,
        board=board,
        listeners=listeners,
        admin=admin,
        metrics=metrics,
        workers=[],
        holder=HolderState(2, [], []),
        counts=counts,
        drains=drains,
        reloads=reloads,
        restarts=restarts,
        control=control,
    )


def test_every_process_is_read_as_it_was(workers: list[Process]) -> None:
    assert read(_written(workers=workers)).workers == [
        ProcessState(100 + number, 1 + number, process.sock.fileno(), state, number, number % 2)
        for number, (process, state) in enumerate(zip(workers, State, strict=True))
    ]


def test_a_vault_of_its_own_is_none_of_ours() -> None:
    assert read(_written(holder=None)).holder is None


def test_what_an_older_program_does_not_write_is_not_known() -> None:
    raw = _written(generation=4, counts=("/somewhere", 9), drains={"all": 1.0}, reloads={"ok": 1}, restarts=3)
    for key in _LATER:
        del raw[key]
    state = read(raw)
    assert (state.generation, state.metrics, state.restarts) == (4, {}, 0)
    assert (state.counts, state.drains, state.reloads) == (None, None, None)


@pytest.mark.parametrize("key", _LATER)
def test_any_of_it_may_be_missing(key: str) -> None:
    raw = _written()
    del raw[key]
    read(raw)


@pytest.mark.parametrize("name", ["state", "control", "vault"])
@pytest.mark.parametrize(("step", "understood"), [(-2, False), (-1, True), (0, True), (1, False)])
def test_only_its_own_version_and_the_one_before_are_understood(name: str, step: int, understood: bool) -> None:
    raw = _written()
    raw["versions"][name] += step
    if understood:
        read(raw)
    else:
        ours = module._VERSIONS[name]
        with pytest.raises(
            ValueError, match=f"{name} is of version {ours + step}; understood are {ours - 1} and {ours}"
        ):
            read(raw)


@pytest.mark.parametrize("key", sorted(_written().keys() - set(_LATER)))
def test_without_the_rest_there_is_no_state(key: str) -> None:
    raw = _written()
    del raw[key]
    with pytest.raises((KeyError, TypeError)):
        read(raw)
