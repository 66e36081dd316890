"""A hundred faults over hundreds of calls lose none; and what the calls' own process would say if they did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.kit.site import Site
from tests.kit.wire import until
from tests.stress.bad_relay import Act, BadRelay, Course, Spoiler
from tests.stress.calls import Setting
from tests.stress.faults import FAULTS
from tests.stress.faultstorm import CallsProcess, Outcome, storm_of_faults
from tests.stress.silences import Silences

_WHERE = 3000  # offset of what is spoiled


@pytest.mark.slow
@pytest.mark.alone
def test_a_hundred_faults(tmp_path: Path, record_property: Any) -> None:
    outcome = storm_of_faults(tmp_path, calls=300, faults=100, seed=1)
    record_property("figures", outcome.text())
    assert outcome.faults.total() == 100
    assert not outcome.lost, outcome.text()
    assert not outcome.odd, outcome.text()
    assert sum(outcome.figures["completed"].values()) > 300
    assert {name for name, count in outcome.faults.items() if count} > {"kill one worker", "kill all workers"}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("kind", [name for name, fault in FAULTS.items() if fault.weight == 1])
def test_what_comes_seldom(tmp_path: Path, kind: str) -> None:
    outcome = storm_of_faults(tmp_path, calls=40, faults=2, workers=2, only=(kind,))
    assert outcome.faults == {kind: 2}
    assert not outcome.lost, outcome.text()
    assert not outcome.odd, outcome.text()


def _good(_: Course, data: bytes) -> tuple[bytes, Act]:
    return data, Act.NOTHING


def _spoiled(change: Act, *, drop: int = 0) -> Spoiler:
    """Something happens to the piece that has the pod's byte number _WHERE."""

    def spoil(course: Course, data: bytes) -> tuple[bytes, Act]:
        there = course.down and 0 <= _WHERE - course.offset < len(data)
        return (data[drop:], change) if there else (data, Act.NOTHING)

    return spoil


async def _figures(spoil: Spoiler, seconds: float, *, patience: float = 1.0, calls: int = 20) -> dict[str, Any]:
    """What a process says whose calls go through such a relay, and which is told to finish after some seconds."""
    site = Site(pods=4)
    pods = tuple((place.name, place.address, place.port) for place in (site.take() for _ in range(4)))
    async with trio.open_nursery() as nursery:
        address = await BadRelay(site, spoil).start(nursery)
        process = CallsProcess(Setting(address, pods, calls, patience=patience))
        try:
            process.window("storm")
            await trio.sleep(seconds)
            figures = await trio.to_thread.run_sync(process.ask, "finish")
        finally:
            process.close()
        nursery.cancel_scope.cancel()
    return figures


@pytest.mark.slow
async def test_a_good_relay_is_not_complained_of() -> None:
    figures = await _figures(_good, 4.0, patience=20.0)
    assert figures["faults"] == []
    assert figures["lost"] == {}
    assert (figures["open"], figures["dropped"], figures["statuses"]) == (0, 0, {})
    assert figures["opened"] == sum(figures["completed"].values()) >= 20
    assert set(figures["silences"]) == {"storm"}
    assert figures["received"] > 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_spoiled(Act.NOTHING, drop=1), "bytes"),
        (_spoiled(Act.CLOSE), "hadn't ended it"),
        (_spoiled(Act.RESET), "hadn't ended it"),
        (_spoiled(Act.HANG), "nothing more for 1 s"),
    ],
    ids=["lost", "close", "reset", "hang"],
)
async def test_what_is_spoiled_is_noticed(spoil: Spoiler, told: str) -> None:
    figures = await _figures(spoil, 5.0)
    assert figures["lost"]["storm"] == len(figures["faults"]) > 0
    assert all(fault.startswith("storm: ") and told in fault for fault in figures["faults"])


@pytest.mark.slow
async def test_a_call_that_gets_no_answer_is_noticed() -> None:
    site = Site(pods=1)
    place = site.take()
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    process = CallsProcess(
        Setting(listener[0].socket.getsockname(), ((place.name, place.address, place.port),), 3, patience=1.0)
    )
    try:
        await until(lambda: process.ask("figures")["lost"].get("before", 0) >= 3)
    finally:
        process.close()
        await listener[0].aclose()


def test_calls_that_are_lost_with_both_that_held_them_are_counted_apart() -> None:
    outcome = Outcome(9, 1.0, figures={"lost": {"kill the vault and one worker": 5, "recycle": 2}})
    assert outcome.lost == 2


def test_the_longest_silence_of_each_call_counts() -> None:
    silences = Silences()
    for call in range(100):
        silences.add("a", call, 0.001 * call)
        silences.add("a", call, 0.0)
    silences.add("b", 1, 2.0)
    assert silences.figures() == {"a": (pytest.approx(0.0495), 0.099, 0.099), "b": (2.0, 2.0, 2.0)}
