"""What is found and judged becomes a snapshot: at once, but not too often."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.discovery.publisher import Publisher
from splicer.policy.endpoint_flags import EJECTED, SUSPECT, UNHEALTHY, Verdict
from splicer.policy.tiers import Key
from tests.upstream.snapshots import Snapshot, found, row

KEY, OTHER = "voice/agent:8000", "voice/router:http"
AGENT = found(row("agent-0", "10.0.0.1"))


class _Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


def publisher(it: Snapshot, log: _Log | None = None) -> Publisher:
    return Publisher(it.writer, log or _Log())  # type: ignore[arg-type]  # it has the one method


async def test_the_first_change_is_published_at_once_and_further_ones_after_a_moment(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    it = Snapshot()
    publishing = publisher(it)
    nursery.start_soon(publishing.run)
    await wait_all_tasks_blocked()
    assert it.reader.services == {}
    publishing.find(KEY, AGENT)
    publishing.find(OTHER, found())
    await wait_all_tasks_blocked()
    assert it.reader.services == {KEY: AGENT, OTHER: found()}
    assert it.writer.sequence == 1
    for until in range(50):
        publishing.judge(("10.0.0.1", 80), Verdict(16, until=until))
        await trio.sleep(0.001)
    assert it.writer.sequence == 1
    await trio.sleep(0.1)
    assert it.writer.sequence == 2
    assert it.reader.verdicts == {("10.0.0.1", 80): Verdict(16, until=49)}


async def test_it_gives_a_sign_of_life_all_the_time(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    it = Snapshot()
    nursery.start_soon(publisher(it).run)
    for _ in range(3):
        it.writer.renew(0.0)
        await trio.sleep(1.1)
        assert it.memory.alive_at > 0
    assert it.writer.sequence == 0, "nothing has changed"


async def test_what_is_the_same_is_not_published(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    it = Snapshot()
    publishing = publisher(it)
    nursery.start_soon(publishing.run)
    publishing.find(KEY, AGENT)
    await trio.sleep(1)
    publishing.find(KEY, AGENT)
    publishing.find("a/b:1", None)
    publishing.judge(("10.0.0.1", 80), None)
    await trio.sleep(1)
    assert it.writer.sequence == 1
    publishing.find(KEY, None)
    await trio.sleep(1)
    assert (it.writer.sequence, it.reader.services) == (2, {})


async def test_it_goes_on_from_what_an_earlier_process_has_published() -> None:
    it = Snapshot()
    it.publish({KEY: AGENT}, {("10.0.0.1", 80): Verdict(16)})
    publishing = publisher(it)
    assert (publishing.found, publishing.verdicts) == ({KEY: AGENT}, {("10.0.0.1", 80): Verdict(16)})
    publishing.find(OTHER, found())
    publishing.publish()
    assert it.reader.services == {KEY: AGENT, OTHER: found()}
    assert it.reader.verdicts == {("10.0.0.1", 80): Verdict(16)}


async def test_too_many_endpoints_change_nothing_and_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splicer.ipc.endpoint_memory.HALF", 8192)
    it, log = Snapshot(), _Log()
    publishing = publisher(it, log)
    publishing.find(KEY, AGENT)
    publishing.publish()
    publishing.find(OTHER, found(*(row(f"agent-{n}", f"10.0.{n >> 8}.{n & 255}") for n in range(250))))
    for _ in range(2):
        publishing.publish()
    assert it.reader.services == {KEY: AGENT}
    [(event, fields)] = log.events
    assert (event, fields["endpoints"], fields["limit"]) == ("endpoint_snapshot_full", 251, 1 << 20)
    publishing.find(OTHER, found())
    publishing.publish()
    assert it.reader.services == {KEY: AGENT, OTHER: found()}
    publishing.find(OTHER, found(*(row("x" * 100, f"10.0.{n >> 8}.{n & 255}") for n in range(250))))
    publishing.publish()
    assert len(log.events) == 2, "it is another time"


def test_a_part_of_a_verdict_is_amended() -> None:
    publishing, key = publisher(Snapshot()), ("10.0.0.1", 80)
    publishing.judge(key, Verdict(SUSPECT, ejections=3))
    publishing.amend(key, EJECTED | SUSPECT, EJECTED, until=7.0)
    publishing.amend(key, UNHEALTHY, UNHEALTHY, lapses=8.0)
    assert publishing.verdicts[key] == Verdict(EJECTED | UNHEALTHY, until=7.0, lapses=8.0, ejections=3)
    publishing.amend(key, UNHEALTHY, 0, lapses=0.0)
    assert publishing.verdicts[key] == Verdict(EJECTED, until=7.0, ejections=3)
    for _ in range(2):
        publishing.amend(key, EJECTED, 0, until=0.0)
    assert key not in publishing.verdicts


def test_who_has_turned_ready() -> None:
    publishing, told = publisher(Snapshot()), list[list[Key]]()
    publishing.on_find(told.append)
    one, two = row("agent-1", "10.0.0.1"), row("agent-2", "10.0.0.2")
    absent = two._replace(flags=0)
    steps = [found(one, absent), found(one, two), found(one, two), found(one), found(one, two), None, found(one)]
    for step in steps:
        publishing.find("voice/agent:80", step)
    publishing.find("voice/agent:80", found(one._replace(pod="agent-9")))
    ready = [(two.address, two.port)]
    assert told == [[], ready, [], ready, [], [], [(one.address, one.port)]]
