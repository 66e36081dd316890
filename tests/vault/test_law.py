"""The journal's law: whatever is killed between whichever two system calls, no byte is lost, doubled or sent elsewhere.

Kernel objects, holder, hub, vault link and workers are real; only the order of things is ours.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splicer.vault.held import Channel
from splicer.vault.holder import Holder
from tests.kit import extension
from tests.kit.descriptors import none_left_open
from tests.kit.laws import examples
from tests.vault import stepped
from tests.vault.call import CLIENT, POD, Broken
from tests.vault.forge import Forge
from tests.vault.scenarios import (
    MUCH,
    NARROW,
    SCENARIOS,
    Scenario,
    fill_up,
    neighbours,
    opening,
    parking,
    standing_still,
)
from tests.vault.simulation import Simulation


@pytest.fixture(scope="module", params=["python", "native"])
def forge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    native = request.param == "native"
    built = extension.build(tmp_path_factory.mktemp("stepped"), "-DSPLICER_STEPS") if native else None
    with none_left_open(), Forge(built) as forge:
        yield forge


@pytest.fixture(scope="module")
def python_forge() -> Iterator[Forge]:
    """Of workers in which Python can be broken."""
    with none_left_open(), Forge() as forge:
        yield forge


# What has happened up to the kill is the same in every run, as far as the kernel lets it.
def _run(
    forge: Forge, scenario: Scenario, fuses: list[int], flaw: str = "", holder: type[Holder] = Holder
) -> list[int]:
    with Simulation(forge, fuses, flaw, holder, narrow=scenario in NARROW) as simulation:
        scenario(simulation)
        simulation.finish()
        return simulation.steps


def _kill_everywhere(
    forge: Forge, scenario: Scenario, every: int, flaw: str = "", holder: type[Holder] = Holder
) -> None:
    for worker, steps in enumerate(_run(forge, scenario, [], flaw, holder)):
        for step in range(1, steps + 1, every):
            _run(forge, scenario, [0] * worker + [step], flaw, holder)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_system_call_costs_nothing(forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(forge, scenario, 8)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_every_single_system_call_costs_nothing(forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(forge, scenario, 1)


# The kernel may say that nothing is there, and a moment later something is: nothing may read it then but a splice.
@pytest.mark.parametrize("scenario", [opening, parking])
def test_data_that_comes_right_after_it_was_looked_for_is_as_safe(python_forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(python_forge, scenario, 1, stepped.LATE_DATA)


def test_a_vault_that_comes_back_is_told_everything(forge: Forge, tmp_path: Path) -> None:
    with none_left_open(), Simulation(forge, path=tmp_path / "vault") as simulation:
        simulation.open(early=300)
        fill_up(simulation, 0, CLIENT)
        simulation.lose_vault()
        simulation.kill()
        simulation.adopt()
        simulation.finish()


def test_a_vault_that_comes_back_is_told_of_what_was_inherited(forge: Forge, tmp_path: Path) -> None:
    with none_left_open(), Simulation(forge, path=tmp_path / "vault") as simulation:
        simulation.open()
        fill_up(simulation, 0, CLIENT)
        fill_up(simulation, 0, POD)
        simulation.kill()
        simulation.adopt()
        simulation.turn()  # nobody reads yet: it goes on with dirty pipes
        simulation.lose_vault()
        simulation.kill()
        simulation.finish()


# ---- any order of anything ----

_CALL = st.integers(0, 2)
_SIDE = st.sampled_from([CLIENT, POD])
_SIZE = st.sampled_from([1, 160, 3000, 20_000, MUCH])
_STEPS = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([0, 200, 5000]), st.sampled_from([0, 700])),
    st.tuples(st.just("write"), _CALL, _SIDE, _SIZE),
    st.tuples(st.just("write"), _CALL, _SIDE, st.just(MUCH)),
    st.tuples(st.just("read"), _CALL, _SIDE, _SIZE),
    st.tuples(st.just("half close"), _CALL, _SIDE),
    st.tuples(st.just("reset"), _CALL, _SIDE),
    *[
        st.tuples(st.just(word))
        for word in (
            "turn",
            "turn",
            "turn",
            "kill",
            "adopt",
            "hand over",
            "expire",
            "tidy",
            "exec",
            "stand still",
            "go on",
        )
    ],
)


def _take(simulation: Simulation, step: tuple[object, ...]) -> None:
    match step:
        case ["open", int(early), int(eager)] if len(simulation.calls) < 3:
            simulation.open(early, eager)
        case ["write", int(number), int(which), int(size)] if number < len(simulation.calls):
            simulation.calls[number].sides[which].write(size)
        case ["read", int(number), int(which), int(size)] if number < len(simulation.calls):
            simulation.calls[number].sides[which].read(size)
        case ["half close", int(number), int(which)] if number < len(simulation.calls):
            simulation.calls[number].sides[which].half_close()
        case ["reset", int(number), int(which)] if number < len(simulation.calls):
            simulation.reset(number, which)
        case ["turn"] if simulation.worker is not None:
            simulation.turn()
        case ["kill"]:
            simulation.kill()
        case ["adopt"]:
            simulation.adopt()
        case ["hand over"] if not simulation.narrow:  # who hands over waits until the holder knows everything
            simulation.hand_over()
        case ["expire"]:
            simulation.expire()
        case ["tidy"]:
            simulation.holder.tidy()
        case ["exec"] if not simulation.deaf:
            simulation.change_program()
        case ["stand still"]:
            simulation.deaf = True
        case ["go on"]:
            simulation.deaf = False
            simulation.hear()


def _obeys_the_law(forge: Forge, steps: list[tuple[object, ...]], fuses: list[int], narrow: bool) -> None:
    with none_left_open(), Simulation(forge, fuses, narrow=narrow) as simulation:
        simulation.open(early=300)
        for step in steps:
            _take(simulation, step)
        simulation.finish()


_SCHEDULES = given(st.lists(_STEPS, max_size=40), st.lists(st.integers(0, 120), max_size=4), st.booleans())


@_SCHEDULES
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
def test_any_schedule_costs_nothing(
    forge: Forge, steps: list[tuple[object, ...]], fuses: list[int], narrow: bool
) -> None:
    _obeys_the_law(forge, steps, fuses, narrow)


@pytest.mark.slow
@_SCHEDULES
@settings(max_examples=examples(1500), suppress_health_check=list(HealthCheck))
def test_very_many_schedules_cost_nothing(
    forge: Forge, steps: list[tuple[object, ...]], fuses: list[int], narrow: bool
) -> None:
    _obeys_the_law(forge, steps, fuses, narrow)


# ---- the law can be broken ----


class _Hasty(Holder):
    """Gives a dead worker's tunnels away before it has heard all that the worker said."""

    def _ready(self, channel: Channel, events: int) -> None:
        poll = select.poll()
        poll.register(channel.sock, 0)
        if poll.poll(0):
            self._lost(channel)
        else:
            super()._ready(channel, events)


class _Careless(Holder):
    """Forgets what the journal says."""

    def _lost(self, channel: Channel) -> None:
        if channel.journal is not None:
            channel.journal.close()
            channel.journal = None
        super()._lost(channel)


@pytest.mark.parametrize(
    ("scenario", "flaw"),
    [
        (parking, stepped.LATE_WORD),
        (parking, stepped.WRONG_DIRECTION),
        (parking, stepped.USER_MEMORY),
        (neighbours, stepped.DIRTY_POOLED),
        (opening, stepped.LATE_REGISTRATION),
        pytest.param(standing_still, stepped.UNTOLD_PIPE, marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_breaks_it_is_found_out(python_forge: Forge, scenario: Scenario, flaw: str) -> None:
    with pytest.raises(Broken):
        _kill_everywhere(python_forge, scenario, 1, flaw)


def _store_late(source: str) -> str:
    store = "  atomic_store_explicit(&e->journal[pipe->place], leg->word, memory_order_release);\n"
    fill = "  ssize_t filled = splice(leg->fd, NULL, pipe->write_fd, NULL, (size_t)pipe->size, FLAGS);\n"
    assert store in source
    assert fill in source
    return source.replace(store, "").replace(fill, f"{fill}  step();\n{store}")


def _read_beside_a_parked_pipe(source: str) -> str:
    kept = "  return PyList_SetSlice(e->clean, count - 1, count, NULL);\n"
    assert kept in source
    return source.replace(kept, "  return 0 * (int)count;\n")


@pytest.mark.parametrize(("scenario", "change"), [(parking, _store_late), (neighbours, _read_beside_a_parked_pipe)])
def test_an_extension_that_breaks_it_is_found_out(
    scenario: Scenario, change: Callable[[str], str], tmp_path: Path
) -> None:
    built = extension.build(tmp_path, "-DSPLICER_STEPS", change=change)
    with Forge(built) as forge, pytest.raises((Broken, AssertionError)):
        _kill_everywhere(forge, scenario, 1)


@pytest.mark.parametrize(("scenario", "holder"), [(opening, _Hasty), (parking, _Careless)])
def test_a_holder_that_breaks_it_is_found_out(forge: Forge, scenario: Scenario, holder: type[Holder]) -> None:
    with pytest.raises(Broken):
        _kill_everywhere(forge, scenario, 1, "", holder)
