"""The storm itself can fail: each way to spoil a tunnel is noticed, and what is right is not complained of."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from random import Random

import pytest
import trio

from tests.kit.edge import running
from tests.kit.site import Site, free_port
from tests.kit.wire import until
from tests.stress.bad_relay import Act, BadRelay, Course, Spoiler
from tests.stress.plans import BEHAVIOURS, Part, Plan, Shutdown, draw, paced
from tests.stress.report import Kind, Report
from tests.stress.storm import storming

pytestmark = pytest.mark.slow

Change = Callable[[bytes], tuple[bytes, Act]]
_WHERE = 5000  # offset of what is spoiled


def _talk(seconds: float = 0.4, reset_after: float = math.inf, ending: Shutdown = Shutdown.EOF) -> Part:
    return Part(paced(Random(1), seconds), early=20, reset_after=reset_after, ending=ending)


def _good(_: Course, data: bytes) -> tuple[bytes, Act]:
    return data, Act.NOTHING


def _at(change: Change) -> Spoiler:
    """Spoil the piece that has the pod's byte number _WHERE."""

    def spoil(course: Course, data: bytes) -> tuple[bytes, Act]:
        there = course.down and 0 <= _WHERE - course.offset < len(data)
        return change(data) if there else (data, Act.NOTHING)

    return spoil


def _at_end(change: tuple[bytes, Act]) -> Spoiler:
    """Spoil the end of the pod's bytes."""
    return lambda course, data: change if course.down and not data else (data, Act.NOTHING)


async def _through(spoil: Spoiler, *plans: Plan, answer: Change | None = None) -> Report:
    """Make these calls, at once, through a relay that spoils them."""
    site = Site(pods=8)
    async with trio.open_nursery() as nursery:
        relay = BadRelay(site, spoil, answer) if answer else BadRelay(site, spoil)
        async with storming(await relay.start(nursery), site, patience=1.0, answered=1.0) as storm:
            async with trio.open_nursery() as calls:
                for plan in plans:
                    calls.start_soon(storm.call, plan)
            report = await storm.finish()
        nursery.cancel_scope.cancel()
    return report


async def test_a_good_relay_is_not_complained_of() -> None:
    site = Site(pods=8)
    async with trio.open_nursery() as nursery:
        address = await BadRelay(site, _good).start(nursery)
        async with storming(address, site, seed=2) as storm:
            storm.keep(40, seconds=1)
            storm.churn(20)
            await trio.sleep(1.5)
            report = await storm.finish()
        nursery.cancel_scope.cancel()
    report.check_calm()
    assert len(report.completed) > len(BEHAVIOURS) // 2
    assert report.to_pods > 1_000_000 < report.to_clients


def test_all_behaviours_are_drawn() -> None:
    assert {draw(Random(seed)).behaviour for seed in range(500)} == set(BEHAVIOURS)


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda data: (data[1:], Act.NOTHING), Kind.WRONG, ": 1 bytes are lost"),
        (lambda data: (data * 2, Act.NOTHING), Kind.WRONG, " bytes came twice"),
        (lambda data: (bytes(9) + data, Act.NOTHING), Kind.WRONG, "bytes of no stream"),
        (lambda data: (data, Act.CLOSE), Kind.LOST, ""),
        (lambda data: (data, Act.RESET), Kind.LOST, ""),
        (lambda data: (data, Act.HANG), Kind.STUCK, "nothing more for 1 s"),
    ],
    ids=["lost", "twice", "inserted", "close", "reset", "hang"],
)
async def test_spoiled_bytes(change: Change, kind: Kind, told: str) -> None:
    plans = [Plan(str(n), _talk(), _talk()) for n in range(3)]
    report = await _through(_at(change), *plans)
    assert [(fault.kind, told in fault.detail) for fault in report.faults] == [(kind, True)] * 3, report.text()
    assert report.tunnels == 0


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ((b"more", Act.NOTHING), Kind.WRONG, "more than was sent"),
        ((b"", Act.RESET), Kind.LOST, "reset, and"),
        ((b"", Act.HANG), Kind.STUCK, "end: eof"),
    ],
    ids=["more", "reset", "no end"],
)
async def test_spoiled_ends(change: tuple[bytes, Act], kind: Kind, told: str) -> None:
    report = await _through(_at_end(change), Plan("", _talk(), _talk()))
    assert [(fault.kind, told in fault.detail) for fault in report.faults] == [(kind, True)], report.text()


async def test_the_last_byte_is_missing() -> None:
    kept: list[bytes] = []

    def spoil(course: Course, data: bytes) -> tuple[bytes, Act]:
        if not course.down:
            return data, Act.NOTHING
        passed = b"".join([*kept, data])
        kept[:] = [passed[-1:]]
        return passed[:-1], Act.NOTHING

    report = await _through(spoil, Plan("", _talk(), _talk()))
    assert [fault.kind for fault in report.faults] == [Kind.LOST], report.text()
    assert report.missing == 1


async def test_bytes_of_another_tunnel() -> None:
    others: list[bytes] = []

    def spoil(course: Course, data: bytes) -> tuple[bytes, Act]:
        if course.tunnel == 0:
            others.append(data)
        elif course.down and course.offset > _WHERE:
            data = others[-1]
        return data, Act.NOTHING

    report = await _through(spoil, *[Plan(str(n), _talk(1.0), _talk(1.0)) for n in range(2)])
    assert [fault.kind for fault in report.faults] == [Kind.WRONG]
    assert ": bytes of tunnel " in report.faults[0].detail
    assert report.tunnels == 1


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("passed_on", [True, False])
async def test_resets(*, client: bool, passed_on: bool) -> None:
    def spoil(course: Course, data: bytes) -> tuple[bytes, Act]:
        return data, Act.NOTHING if data or passed_on else Act.HANG

    gone, other = _talk(reset_after=0.2), _talk(ending=Shutdown.STAY)
    report = await _through(spoil, Plan("", gone, other) if client else Plan("", other, gone))
    told = [(fault.kind, "end: reset" in fault.detail) for fault in report.faults]
    assert told == ([] if passed_on else [(Kind.STUCK, True)]), report.text()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda head: (head[:20], Act.CLOSE), "half a head"),
        (lambda head: (head[:20], Act.RESET), "half a head"),
        (lambda head: (head.replace(b"Accept: ", b"Accept: x"), Act.NOTHING), "a wrong 101"),
        (lambda head: (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhalf", Act.CLOSE), "half a body"),
        (lambda head: (b"", Act.HANG), "no answer"),
    ],
    ids=["half", "half and reset", "another key's", "half a body", "none"],
)
async def test_bad_answers(answer: Change, told: str) -> None:
    report = await _through(_good, Plan("", _talk(), _talk()), answer=answer)
    assert [(fault.kind, told in fault.detail) for fault in report.faults] == [(Kind.HANDSHAKE, True)], report.text()
    assert (report.tunnels, report.dropped) == (0, 0)


async def test_answers_that_are_no_fault() -> None:
    whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    report = await _through(_good, Plan("", _talk(), _talk()), answer=lambda _: (whole, Act.CLOSE))
    report.check()
    assert dict(report.answered) == {503: 1}
    report = await _through(_good, Plan("", _talk(), _talk()), answer=lambda _: (b"", Act.CLOSE))
    report.check()
    assert (report.dropped, report.tunnels) == (1, 0)
    with pytest.raises(AssertionError, match="1 dropped"):
        report.check_calm()


async def test_a_refused_connection() -> None:
    site = Site(pods=8)
    async with storming(("127.0.0.1", free_port()), site) as storm:
        assert not await storm.call(Plan("", _talk(), _talk()))
    assert [fault.kind for fault in storm.report.faults] == [Kind.HANDSHAKE]
    assert "refused" in storm.report.faults[0].detail


async def test_a_pod_that_nobody_tells_that_its_client_has_gone() -> None:
    report = await _through(_good, Plan("", _talk(), _talk()), answer=lambda _: (b"", Act.LEAVE))
    assert (report.dropped, [fault.kind for fault in report.faults]) == (1, [Kind.STUCK]), report.text()


async def test_handshakes_that_are_dropped_in_a_storm() -> None:
    """As a worker's death drops them: both connections at once, with an eof or a reset."""
    rng = Random(3)
    site = Site(pods=8)

    def drop(head: bytes) -> tuple[bytes, Act]:
        act = rng.choice((Act.NOTHING, Act.CLOSE, Act.RESET))
        return head if act is Act.NOTHING else b"", act

    async with trio.open_nursery() as nursery:
        address = await BadRelay(site, _good, drop).start(nursery)
        async with storming(address, site, seed=3) as storm:
            storm.keep(20, seconds=1)
            storm.churn(100)
            await until(lambda: storm.report.dropped > 30 < storm.report.tunnels)
            report = await storm.finish()
        nursery.cancel_scope.cancel()
    report.check()


@pytest.mark.slow
@pytest.mark.alone
async def test_pauses_are_seen_and_are_no_fault() -> None:
    site = Site(pods=8)
    with running(site.toml(), site) as edge:
        async with storming(edge.address, site) as storm:
            storm.keep(20, seconds=2)
            storm.churn(10)
            await storm.full()
            worker = edge.worker
            for seconds in (0.05, 0.5, 0.1):
                os.kill(worker, signal.SIGSTOP)
                await trio.sleep(seconds)
                os.kill(worker, signal.SIGCONT)
                await trio.sleep(0.3)
            report = await storm.finish()
    report.check_calm()
    assert report.stalls[-1] > 0.3


@pytest.mark.slow
@pytest.mark.alone
async def test_a_storm_through_the_edge() -> None:
    site = Site(pods=8)
    with running(site.toml(), site) as edge:
        before = edge.descriptors("socket")
        async with storming(edge.address, site) as storm:
            storm.keep(40, seconds=2)
            storm.churn(20)
            await storm.full()
            await trio.sleep(3)
            report = await storm.finish()
        report.check_calm()
        await until(lambda: edge.descriptors("socket") <= before)
