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
from tests.kit.descriptors import none_left_open
from tests.vault import stepped
from tests.vault.stepped import Forge
from tests.vault.world import CLIENT, POD, Broken, World

_MUCH = 1 << 17  # bytes: more than sockets and pipe hold

Scenario = Callable[[World], None]


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with none_left_open(), Forge() as forge:
        yield forge


def _fill_up(world: World, number: int, which: int) -> None:
    """Until a pipe is parked: nobody reads at the other end."""
    for _ in range(4):
        world.calls[number].sides[which].write(_MUCH)
        world.turn()


def opening(world: World) -> None:
    """The pod's first frames come with its 101, the client's with its request; then frames both ways."""
    world.open(early=3000, eager=700)
    client, pod = world.calls[0].sides
    for _ in range(2):
        client.write(160)
        pod.write(320)
        world.turn()
    client.read(_MUCH)


def parking(world: World) -> None:
    """Nobody reads at the pod, then somebody does."""
    world.open(early=200)
    pod = world.calls[0].sides[POD]
    pod.write(1000)
    _fill_up(world, 0, CLIENT)
    for _ in range(3):
        pod.read(4000)
        world.turn()


def unparking_elsewhere(world: World) -> None:
    """Both directions are parked when the worker dies: the next one begins with dirty pipes."""
    world.open()
    _fill_up(world, 0, CLIENT)
    _fill_up(world, 0, POD)
    world.kill()
    world.adopt()
    client, pod = world.calls[0].sides
    for _ in range(2):
        client.read(4000)
        pod.read(4000)
        world.turn()
    _fill_up(world, 0, CLIENT)


def neighbours(world: World) -> None:
    """Calls end with bytes parked, and leave dirty pipes behind; others want pipes then."""
    world.open()
    world.open()
    _fill_up(world, 0, CLIENT)
    _fill_up(world, 1, POD)
    world.expire()
    world.open(early=500)
    for side in world.calls[2].sides:
        side.write(5000)
    world.turn()


def resetting(world: World) -> None:
    """A pod leaves with a reset while its pipe is full, next to a call that goes on."""
    world.open()
    world.open()
    _fill_up(world, 0, CLIENT)
    _fill_up(world, 1, POD)
    world.reset(0, POD)
    world.turn()
    world.calls[1].sides[CLIENT].write(5000)
    world.turn()


def half_closing(world: World) -> None:
    """An end of stream waits behind parked bytes, and the other direction goes on."""
    world.open()
    client, pod = world.calls[0].sides
    _fill_up(world, 0, CLIENT)
    client.half_close()
    world.turn()
    pod.write(2000)
    world.turn()
    while pod.read(_MUCH):
        world.turn()
    world.turn()


def closing(world: World) -> None:
    """Both sides end; a second call comes meanwhile."""
    world.open(early=150)
    for side in world.calls[0].sides:
        side.write(300)
        side.half_close()
    world.turn()
    world.turn()
    world.open(early=150, eager=10)


def leaving(world: World) -> None:
    """A worker hands over on purpose, with parked bytes."""
    world.open(early=300)
    world.open()
    _fill_up(world, 0, CLIENT)
    _fill_up(world, 1, POD)
    world.hand_over()
    world.adopt()
    world.calls[1].sides[CLIENT].read(5000)
    world.turn()


def changing_program(world: World) -> None:
    """The holder becomes another program while a worker is dead, and while one works."""
    world.open(early=300)
    _fill_up(world, 0, CLIENT)
    world.kill()
    world.change_program()
    world.adopt()
    _fill_up(world, 0, POD)
    world.change_program()
    world.open(early=300)


def standing_still(world: World) -> None:
    """The holder takes nothing for a while: calls go on, others begin and end, and it is told of them afterwards."""
    world.open(early=300)
    world.turn()
    world.deaf = True
    for number in range(1, 5):
        world.open(early=200, eager=10)
        for end in world.calls[number].sides:
            end.write(500)
        world.turn()
    for number, side in ((3, POD), (4, POD), (0, CLIENT)):  # the last one finds no pipe that the holder knows
        _fill_up(world, number, side)
    for end in world.calls[2].sides:
        end.half_close()
    world.turn()
    world.calls[0].sides[POD].read(4000)
    world.turn()
    world.deaf = False
    world.hear()
    world.calls[1].sides[CLIENT].write(5000)
    world.turn()


_NARROW = (standing_still,)  # channels that are soon full
SCENARIOS = [
    standing_still,
    opening,
    parking,
    unparking_elsewhere,
    neighbours,
    resetting,
    half_closing,
    closing,
    leaving,
    changing_program,
]


# What has happened up to the kill is the same in every run, as far as the kernel lets it.
def _run(
    forge: Forge, scenario: Scenario, fuses: list[int], flaw: str = "", holder: type[Holder] = Holder
) -> list[int]:
    with World(forge, fuses, flaw, holder, narrow=scenario in _NARROW) as world:
        scenario(world)
        world.finish()
        return world.steps


def _kill_everywhere(
    forge: Forge, scenario: Scenario, every: int, flaw: str = "", holder: type[Holder] = Holder
) -> None:
    for worker, steps in enumerate(_run(forge, scenario, [], flaw, holder)):
        for step in range(1, steps + 1, every):
            _run(forge, scenario, [0] * worker + [step], flaw, holder)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_system_call_costs_nothing(forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(forge, scenario, 5)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_every_single_system_call_costs_nothing(forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(forge, scenario, 1)


# The kernel may say that nothing is there, and a moment later something is: nothing may read it then but a splice.
@pytest.mark.parametrize("scenario", [opening, parking])
def test_data_that_comes_right_after_it_was_looked_for_is_as_safe(forge: Forge, scenario: Scenario) -> None:
    with none_left_open():
        _kill_everywhere(forge, scenario, 1, stepped.LATE_DATA)


def test_a_vault_that_comes_back_is_told_everything(forge: Forge, tmp_path: Path) -> None:
    with none_left_open(), World(forge, path=tmp_path / "vault") as world:
        world.open(early=300)
        _fill_up(world, 0, CLIENT)
        world.lose_vault()
        world.kill()
        world.adopt()
        world.finish()


def test_a_vault_that_comes_back_is_told_of_what_was_inherited(forge: Forge, tmp_path: Path) -> None:
    with none_left_open(), World(forge, path=tmp_path / "vault") as world:
        world.open()
        _fill_up(world, 0, CLIENT)
        _fill_up(world, 0, POD)
        world.kill()
        world.adopt()
        world.turn()  # nobody reads yet: it goes on with dirty pipes
        world.lose_vault()
        world.kill()
        world.finish()


# ---- any order of anything ----

_CALL = st.integers(0, 2)
_SIDE = st.sampled_from([CLIENT, POD])
_SIZE = st.sampled_from([1, 160, 3000, 20_000, _MUCH])
_STEPS = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([0, 200, 5000]), st.sampled_from([0, 700])),
    st.tuples(st.just("write"), _CALL, _SIDE, _SIZE),
    st.tuples(st.just("write"), _CALL, _SIDE, st.just(_MUCH)),
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


def _take(world: World, step: tuple[object, ...]) -> None:
    match step:
        case ["open", int(early), int(eager)] if len(world.calls) < 3:
            world.open(early, eager)
        case ["write", int(number), int(which), int(size)] if number < len(world.calls):
            world.calls[number].sides[which].write(size)
        case ["read", int(number), int(which), int(size)] if number < len(world.calls):
            world.calls[number].sides[which].read(size)
        case ["half close", int(number), int(which)] if number < len(world.calls):
            world.calls[number].sides[which].half_close()
        case ["reset", int(number), int(which)] if number < len(world.calls):
            world.reset(number, which)
        case ["turn"] if world.worker is not None:
            world.turn()
        case ["kill"]:
            world.kill()
        case ["adopt"]:
            world.adopt()
        case ["hand over"] if not world.narrow:  # who hands over waits until the holder knows everything
            world.hand_over()
        case ["expire"]:
            world.expire()
        case ["tidy"]:
            world.holder.tidy()
        case ["exec"] if not world.deaf:
            world.change_program()
        case ["stand still"]:
            world.deaf = True
        case ["go on"]:
            world.deaf = False
            world.hear()


def _obeys_the_law(forge: Forge, steps: list[tuple[object, ...]], fuses: list[int], narrow: bool) -> None:
    with none_left_open(), World(forge, fuses, narrow=narrow) as world:
        world.open(early=300)
        for step in steps:
            _take(world, step)
        world.finish()


_SCHEDULES = given(st.lists(_STEPS, max_size=40), st.lists(st.integers(0, 120), max_size=4), st.booleans())


@_SCHEDULES
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_schedule_costs_nothing(
    forge: Forge, steps: list[tuple[object, ...]], fuses: list[int], narrow: bool
) -> None:
    _obeys_the_law(forge, steps, fuses, narrow)


@pytest.mark.slow
@_SCHEDULES
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
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
def test_a_worker_that_breaks_it_is_found_out(forge: Forge, scenario: Scenario, flaw: str) -> None:
    with pytest.raises(Broken):
        _kill_everywhere(forge, scenario, 1, flaw)


@pytest.mark.parametrize(("scenario", "holder"), [(opening, _Hasty), (parking, _Careless)])
def test_a_holder_that_breaks_it_is_found_out(forge: Forge, scenario: Scenario, holder: type[Holder]) -> None:
    with pytest.raises(Broken):
        _kill_everywhere(forge, scenario, 1, "", holder)
