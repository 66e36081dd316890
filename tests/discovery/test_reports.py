"""The channels of workers: who is heard, and who hears that one has gone."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.discovery.reports import ReportChannels
from splicer.ipc import wire
from splicer.ipc.endpoint_reports import NamesUsed, OutcomeRow, OutcomesSeen, UsedRow
from splicer.vault.protocol import channel
from tests.discovery.logged import Logged
from tests.kit.descriptors import none_left_open

_USED = (UsedRow("up", "a.test", "10.0.0.1", 80), UsedRow("up", "b.test", "10.0.0.2", 80))
_FAILED = (OutcomeRow("up", "10.0.0.1", 80, "pod", "connect_refused"),)


class Heard:
    """Channels, and what is heard on them."""

    def __init__(self, nursery: trio.Nursery, stack: ExitStack) -> None:
        self.log = Logged()
        self.channels = ReportChannels(nursery, self.log.logger)
        self.names: list[tuple[int, Any]] = []
        self.gone: list[int] = []
        self._stack = stack
        self.channels.on(NamesUsed, lambda pid, rows: self.names.append((pid, rows)))
        self.channels.on_end(self.gone.append)

    def add(self, slot: int, pid: int) -> socket.socket:
        """The worker's end of its channel."""
        ours, its = channel()
        self._stack.enter_context(its)
        self.channels.add(slot, pid, ours)
        return its


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    with none_left_open(), ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            yield Heard(nursery, stack)
            nursery.cancel_scope.cancel()


async def test_rows_come_with_the_workers_pid(heard: Heard) -> None:
    one, other = heard.add(1, 11), heard.add(2, 12)
    wire.send(one, NamesUsed(_USED))
    await wait_all_tasks_blocked()
    wire.send(other, NamesUsed(_USED[:1]))
    await wait_all_tasks_blocked()
    assert heard.names == [(11, _USED), (12, _USED[:1])]
    assert heard.channels.slots == {1, 2}


async def test_a_kind_that_nobody_wants_to_hear_of_is_passed_over(heard: Heard) -> None:
    worker = heard.add(1, 11)
    wire.send(worker, OutcomesSeen(_FAILED))
    wire.send(worker, NamesUsed(_USED))
    await wait_all_tasks_blocked()
    assert heard.names == [(11, _USED)]


async def test_all_who_want_it_are_told_that_a_worker_has_gone(heard: Heard) -> None:
    also: list[int] = []
    heard.channels.on_end(also.append)
    worker = heard.add(1, 11)
    heard.add(2, 12)
    await wait_all_tasks_blocked()
    wire.send(worker, NamesUsed(_USED))
    worker.close()
    await wait_all_tasks_blocked()
    assert (heard.names, heard.gone, also, heard.channels.slots) == ([(11, _USED)], [11], [11], {2})


# The supervisor makes a new channel when one may have been lost; what was learned of the worker is still so.
async def test_a_worker_with_a_new_channel_has_not_gone(heard: Heard) -> None:
    old = heard.add(1, 11)
    await wait_all_tasks_blocked()
    new = heard.add(1, 11)
    await wait_all_tasks_blocked()
    wire.send(new, NamesUsed(_USED))
    await wait_all_tasks_blocked()
    assert (heard.names, heard.gone, heard.channels.slots) == ([(11, _USED)], [], {1})
    assert old.recv(1) == b"", "the old one is closed"


async def test_a_slot_is_served_as_long_as_one_of_its_workers_is_heard(heard: Heard) -> None:
    leaving = heard.add(1, 11)
    heard.add(1, 12)
    await wait_all_tasks_blocked()
    leaving.close()
    await wait_all_tasks_blocked()
    assert (heard.gone, heard.channels.slots) == ([11], {1})


async def test_one_that_says_nonsense_is_logged_and_heard_no_more(heard: Heard) -> None:
    bad, good = heard.add(1, 11), heard.add(2, 12)
    bad.send(b"nonsense " * 1000)
    await wait_all_tasks_blocked()
    wire.send(good, NamesUsed(_USED))
    await wait_all_tasks_blocked()
    [line] = heard.log.of("worker_unheard")
    assert (line["level"], line["process"], line["slot"], line["pid"]) == ("error", "discovery", 1, 11)
    assert (heard.names, heard.gone, heard.channels.slots) == ([(12, _USED)], [11], {2})
