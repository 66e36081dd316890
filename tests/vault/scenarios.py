"""What happens to calls, in the order of a scenario; the journal's law holds in each."""

from __future__ import annotations

from collections.abc import Callable

from tests.vault.call import CLIENT, POD
from tests.vault.simulation import Simulation

MUCH = 1 << 17  # bytes: more than sockets and pipe hold

Scenario = Callable[[Simulation], None]


def fill_up(simulation: Simulation, number: int, which: int) -> None:
    """Until a pipe is parked: nobody reads at the other end."""
    for _ in range(4):
        simulation.calls[number].sides[which].write(MUCH)
        simulation.turn()


def opening(simulation: Simulation) -> None:
    """The pod's first frames come with its 101, the client's with its request; then frames both ways."""
    simulation.open(early=3000, eager=700)
    client, pod = simulation.calls[0].sides
    for _ in range(2):
        client.write(160)
        pod.write(320)
        simulation.turn()
    client.read(MUCH)


def parking(simulation: Simulation) -> None:
    """Nobody reads at the pod, then somebody does."""
    simulation.open(early=200)
    pod = simulation.calls[0].sides[POD]
    pod.write(1000)
    fill_up(simulation, 0, CLIENT)
    for _ in range(3):
        pod.read(4000)
        simulation.turn()


def unparking_elsewhere(simulation: Simulation) -> None:
    """Both directions are parked when the worker dies: the next one begins with dirty pipes."""
    simulation.open()
    fill_up(simulation, 0, CLIENT)
    fill_up(simulation, 0, POD)
    simulation.kill()
    simulation.adopt()
    client, pod = simulation.calls[0].sides
    for _ in range(2):
        client.read(4000)
        pod.read(4000)
        simulation.turn()
    fill_up(simulation, 0, CLIENT)


def neighbours(simulation: Simulation) -> None:
    """Calls end with bytes parked, and leave dirty pipes behind; others want pipes then."""
    simulation.open()
    simulation.open()
    fill_up(simulation, 0, CLIENT)
    fill_up(simulation, 1, POD)
    simulation.expire()
    simulation.open(early=500)
    for side in simulation.calls[2].sides:
        side.write(5000)
    simulation.turn()


def resetting(simulation: Simulation) -> None:
    """A pod leaves with a reset while its pipe is full, next to a call that goes on."""
    simulation.open()
    simulation.open()
    fill_up(simulation, 0, CLIENT)
    fill_up(simulation, 1, POD)
    simulation.reset(0, POD)
    simulation.turn()
    simulation.calls[1].sides[CLIENT].write(5000)
    simulation.turn()


def half_closing(simulation: Simulation) -> None:
    """An end of stream waits behind parked bytes, and the other direction goes on."""
    simulation.open()
    client, pod = simulation.calls[0].sides
    fill_up(simulation, 0, CLIENT)
    client.half_close()
    simulation.turn()
    pod.write(2000)
    simulation.turn()
    while pod.read(MUCH):
        simulation.turn()
    simulation.turn()


def closing(simulation: Simulation) -> None:
    """Both sides end; a second call comes meanwhile."""
    simulation.open(early=150)
    for side in simulation.calls[0].sides:
        side.write(300)
        side.half_close()
    simulation.turn()
    simulation.turn()
    simulation.open(early=150, eager=10)


def leaving(simulation: Simulation) -> None:
    """A worker hands over on purpose, with parked bytes."""
    simulation.open(early=300)
    simulation.open()
    fill_up(simulation, 0, CLIENT)
    fill_up(simulation, 1, POD)
    simulation.hand_over()
    simulation.adopt()
    simulation.calls[1].sides[CLIENT].read(5000)
    simulation.turn()


def changing_program(simulation: Simulation) -> None:
    """The holder becomes another program while a worker is dead, and while one works."""
    simulation.open(early=300)
    fill_up(simulation, 0, CLIENT)
    simulation.kill()
    simulation.change_program()
    simulation.adopt()
    fill_up(simulation, 0, POD)
    simulation.change_program()
    simulation.open(early=300)


def standing_still(simulation: Simulation) -> None:
    """The holder takes nothing for a while: calls go on, others begin and end, and it is told of them afterwards."""
    simulation.open(early=300)
    simulation.turn()
    simulation.deaf = True
    for number in range(1, 5):
        simulation.open(early=200, eager=10)
        for end in simulation.calls[number].sides:
            end.write(500)
        simulation.turn()
    for number, side in ((1, POD), (2, POD), (3, POD), (4, POD), (3, CLIENT), (4, CLIENT), (0, CLIENT)):
        fill_up(simulation, number, side)  # the last ones find no pipe that the holder knows
    for end in simulation.calls[2].sides:
        end.half_close()
    simulation.turn()
    simulation.calls[0].sides[POD].read(4000)
    simulation.turn()
    simulation.deaf = False
    simulation.hear()
    simulation.calls[1].sides[CLIENT].write(5000)
    simulation.turn()


NARROW = (standing_still,)  # channels that are soon full
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
