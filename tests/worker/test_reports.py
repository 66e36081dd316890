"""What a worker tells the discovery process: in batches, and without ever waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.discovery.reports import ReportChannels
from splicer.ipc import wire
from splicer.ipc.endpoint_reports import EndpointReport
from splicer.ipc.message import Message
from splicer.vault.protocol import channel
from splicer.worker.reports import Reports


@dataclass(frozen=True, slots=True)
class Seen(EndpointReport[int]):
    """An event, as a message of the tests."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load(EndpointReport[tuple[str, int]]):
    """A state."""

    rows: tuple[tuple[str, int], ...]


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[str, type[Message]] = {"seen": Seen, "load": Load}
    monkeypatch.setattr(EndpointReport, "KINDS", kinds)
    for name, kind in kinds.items():
        monkeypatch.setattr(kind, "KIND", name, raising=False)
        monkeypatch.setattr(kind, "SINCE", 1, raising=False)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, its = channel()
    with ours, its:
        yield ours, its


def heard(sock: socket.socket) -> list[Any]:
    found: list[Any] = []
    while True:
        try:
            received = wire.receive(sock, EndpointReport)
        except BlockingIOError:
            return found
        if received is None:
            return found
        found.append(received.message)


async def test_events_of_a_moment_are_one_packet(
    ends: tuple[socket.socket, socket.socket], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ours, its = ends
    reports = Reports()
    nursery.start_soon(reports.run)
    reports.open(its)
    for number in range(3):
        reports.say(Seen, number)
    await trio.sleep(0.04)
    reports.say(Seen, 3)
    assert heard(ours) == []
    await trio.sleep(0.04)
    assert heard(ours) == [Seen((0, 1, 2, 3))]
    await trio.sleep(1)
    assert heard(ours) == []
    its.detach()


async def test_only_the_newest_state_is_sent(
    ends: tuple[socket.socket, socket.socket], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ours, its = ends
    reports = Reports()
    nursery.start_soon(reports.run)
    reports.open(its)
    for count in range(3):
        for address in ("a", "b"):
            reports.show(Load, address, (address, count))
    reports.show(Load, "a", ("a", 7))
    await trio.sleep(0.1)
    assert heard(ours) == [Load((("b", 2), ("a", 7)))]
    its.detach()


async def test_without_anybody_to_tell_nothing_is_kept(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    reports = Reports()
    nursery.start_soon(reports.run)
    reports.say(Seen, 1)
    reports.show(Load, "a", ("a", 1))
    assert not reports.wanted
    ours, its = channel()
    told: list[bool] = []
    reports.introduced.append(lambda: told.append(reports.wanted))
    reports.open(its)
    assert told == [True]
    await trio.sleep(0.1)
    assert heard(ours) == []
    ours.close()
    reports.say(Seen, 2)
    await trio.sleep(0.1)
    assert not reports.wanted, "it is gone"
    reports.say(Seen, 3)
    ours, its = channel()
    reports.open(its)
    await trio.sleep(0.1)
    assert heard(ours) == []
    ours.close()
    reports.close()


async def test_while_it_is_not_read_the_newest_are_kept(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splicer.worker.reports._MOST", 1000)
    ours, its = channel()
    reports = Reports()
    nursery.start_soon(reports.run)
    reports.open(its)
    number = 0
    for _ in range(100):  # until the socket is full, and much longer
        for _ in range(1000):
            reports.say(Seen, number)
            number += 1
        await trio.sleep(0.1)
    assert len(reports._rows[Seen]) <= 1000
    first = heard(ours)
    await trio.sleep(0.1)
    rows = [row for report in (*first, *heard(ours)) for row in report.rows]
    assert rows == sorted(set(rows)), "in their order, each once"
    assert rows[-1] == number - 1
    assert 0 < len(rows) < number
    ours.close()
    reports.close()


# ---- the other end ----


class _Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


async def test_each_report_gets_to_who_asks_for_it(nursery: trio.Nursery) -> None:
    log: Any = _Log()
    channels = ReportChannels(nursery, log)
    seen: list[tuple[int, tuple[int, ...]]] = []
    gone: list[int] = []
    channels.on(Seen, lambda pid, rows: seen.append((pid, rows)))
    channels.on_end(gone.append)
    ends = {}
    for slot, pid in ((1, 11), (2, 22), (1, 33)):
        ends[pid], its = channel()
        channels.add(slot, pid, its)
        wire.send(ends[pid], Seen((pid,)))
        wire.send(ends[pid], Load((("a", 1),)))  # nobody asks for it
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(seen) == [(11, (11,)), (22, (22,)), (33, (33,))]
    assert (channels.slots, gone) == ({1, 2}, [])
    for pid in (11, 22):
        ends.pop(pid).close()
    await trio.testing.wait_all_tasks_blocked()
    assert (channels.slots, sorted(gone)) == ({1}, [11, 22])
    ends[33].close()
    await trio.testing.wait_all_tasks_blocked()
    assert channels.slots == set()
    assert log.events == []


async def test_a_new_channel_of_a_known_worker_replaces_the_old_one(nursery: trio.Nursery) -> None:
    channels = ReportChannels(nursery, _Log())  # type: ignore[arg-type]  # it has the one method
    gone: list[int] = []
    channels.on_end(gone.append)
    old, its = channel()
    channels.add(1, 11, its)
    new, its = channel()
    channels.add(1, 11, its)
    await trio.testing.wait_all_tasks_blocked()
    assert old.recv(1) == b"", "it is closed"
    assert (channels.slots, gone) == ({1}, [])
    for end in (old, new):
        end.close()
    await trio.testing.wait_all_tasks_blocked()
    assert gone == [11]


async def test_nonsense_ends_one_channel_and_is_logged(nursery: trio.Nursery) -> None:
    log: Any = _Log()
    channels = ReportChannels(nursery, log)
    ours, its = channel()
    channels.add(3, 11, its)
    ours.send(b"nonsense")
    await trio.testing.wait_all_tasks_blocked()
    assert channels.slots == set()
    [(event, fields)] = log.events
    assert (event, fields["process"], fields["slot"], fields["pid"]) == ("worker_unheard", "discovery", 3, 11)
    ours.close()
