"""Reading a channel to its end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.ipc import wire
from splicer.ipc.endpoint_reports import EndpointReport, NamesUsed, OutcomeRow, OutcomesSeen, UsedRow
from splicer.ipc.hearing import hear_all
from splicer.ipc.messages import Ready
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open

Ends = tuple[socket.socket, socket.socket]
_NAMES = NamesUsed((UsedRow("up", "a.test", "10.0.0.1", 80),))
_OUTCOMES = OutcomesSeen((OutcomeRow("", "10.0.0.1", 80, "pod", ""),))


@pytest.fixture
def ends() -> Iterator[Ends]:
    with none_left_open():
        ours, its = channel()
        with ours, its:
            yield ours, its


async def test_all_comes_in_order_and_also_what_was_said_before_the_end(ends: Ends, nursery: trio.Nursery) -> None:
    ours, its = ends
    heard: list[object] = []
    wire.send(its, _NAMES)
    nursery.start_soon(hear_all, ours, EndpointReport, heard.append)
    await wait_all_tasks_blocked()
    assert heard == [_NAMES]
    wire.send(its, _OUTCOMES)
    wire.send(its, _NAMES)
    its.close()
    await wait_all_tasks_blocked()
    assert heard == [_NAMES, _OUTCOMES, _NAMES]
    assert not nursery.child_tasks, "it has ended"


async def test_what_this_version_does_not_know_is_passed_over(ends: Ends) -> None:
    ours, its = ends
    heard: list[object] = []
    wire.send(its, Ready())
    wire.send(its, _NAMES)
    its.close()
    await hear_all(ours, EndpointReport, heard.append)
    assert heard == [_NAMES]


async def test_descriptors_that_nobody_wants_are_closed(ends: Ends) -> None:
    ours, its = ends
    read, write = os.pipe()
    wire.send(its, _NAMES, (write,))
    os.close(write)
    its.close()
    await hear_all(ours, EndpointReport, lambda _: None)
    assert os.read(read, 1) == b"", "no copy is left"
    os.close(read)


async def test_nonsense_is_an_error(ends: Ends) -> None:
    ours, its = ends
    its.send(b"nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        await hear_all(ours, EndpointReport, lambda _: None)


# The end of a killed process may be a reset (unix(7)).
async def test_a_reset_is_an_end(ends: Ends) -> None:
    ours, its = ends
    wire.send(ours, _NAMES)  # which it never reads
    its.close()
    await hear_all(ours, EndpointReport, lambda _: None)


async def test_a_channel_that_can_not_be_read_is_at_its_end() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as nobodys:
        await hear_all(nobodys, EndpointReport, lambda _: None)


async def test_one_with_much_to_say_holds_up_nobody(ends: Ends) -> None:
    ours, its = ends
    steps: list[str] = []

    async def another() -> None:
        for _ in range(3):
            steps.append("another")
            await trio.lowlevel.checkpoint()

    for _ in range(10):
        wire.send(its, _NAMES)
    its.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear_all, ours, EndpointReport, lambda _: steps.append("heard"))
        nursery.start_soon(another)
    assert "another" in steps[2:6]
