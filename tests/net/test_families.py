"""In virtual time: when the two families' answers come, and what is made of them."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from attrs import frozen

from splicer.errors import ResolveFailed
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records
from splicer.net.families import RESOLUTION_DELAY_SECONDS, ask_families

BOTH = (RdataType.A, RdataType.AAAA)
V4 = Records(("10.0.0.1", "10.0.0.2"), 30.0)
V6 = Records(("fd00::1",), 20.0)
EMPTY = Records((), 5.0)
NO_NAME = Records((), 7.0, exists=False)
DOWN = ResolveFailed("down")


@frozen
class Reply:
    outcome: Records | Exception
    after: float = 0.0


async def ask_both(a: Reply, aaaa: Reply) -> tuple[Records, float]:
    async def ask(name: str, kind: RdataType) -> Records:
        assert name == "pod-0.example"
        reply = a if kind == RdataType.A else aaaa
        await trio.sleep(reply.after)
        if isinstance(reply.outcome, Exception):
            raise reply.outcome
        return reply.outcome

    started = trio.current_time()
    records = await ask_families("pod-0.example", BOTH, ask)
    return records, trio.current_time() - started


@pytest.mark.parametrize(
    ("a", "aaaa", "expected", "seconds"),
    [
        pytest.param(Reply(V4), Reply(V6), Records(("10.0.0.1", "10.0.0.2", "fd00::1"), 20.0), 0.0, id="both"),
        pytest.param(
            Reply(V4, 0.02), Reply(V6), Records(("10.0.0.1", "10.0.0.2", "fd00::1"), 20.0), 0.02, id="ipv4 still first"
        ),
        pytest.param(Reply(V4), Reply(V6, 9), V4, RESOLUTION_DELAY_SECONDS, id="slow AAAA"),
        pytest.param(Reply(V4, 9), Reply(V6), V6, RESOLUTION_DELAY_SECONDS, id="slow A"),
        pytest.param(Reply(V4), Reply(EMPTY), V4, 0.0, id="ipv4 only, with its own TTL"),
        pytest.param(Reply(EMPTY), Reply(V6, 1), V6, 1.0, id="no A decides nothing"),
        pytest.param(Reply(V4), Reply(DOWN), V4, 0.0, id="AAAA failed"),
        pytest.param(Reply(DOWN), Reply(V6, 1), V6, 1.0, id="A failed"),
        pytest.param(Reply(EMPTY), Reply(EMPTY, 1), EMPTY, 1.0, id="neither"),
        pytest.param(Reply(NO_NAME), Reply(NO_NAME), NO_NAME, 0.0, id="no such name"),
        pytest.param(Reply(NO_NAME), Reply(EMPTY, 9), NO_NAME, RESOLUTION_DELAY_SECONDS, id="no such name, slow AAAA"),
        pytest.param(Reply(NO_NAME), Reply(DOWN), NO_NAME, 0.0, id="no such name, AAAA failed"),
        pytest.param(Reply(NO_NAME), Reply(V6, 0.02), V6, 0.02, id="a server that errs about A"),
    ],
)
async def test_what_is_made_of_two_answers(
    a: Reply, aaaa: Reply, expected: Records, seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    records, took = await ask_both(a, aaaa)
    assert records == expected
    assert took == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("a", "aaaa"),
    [
        pytest.param(Reply(DOWN), Reply(ResolveFailed("too")), id="both failed"),
        pytest.param(Reply(EMPTY), Reply(DOWN, 1), id="one failed, the other has none"),
    ],
)
async def test_no_answer(a: Reply, aaaa: Reply, autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(ResolveFailed, match="down"):
        await ask_both(a, aaaa)


async def test_one_family_alone_waits_for_no_other() -> None:
    async def ask(name: str, kind: RdataType) -> Records:
        assert kind == RdataType.A
        return V4

    assert await ask_families("pod-0.example", (RdataType.A,), ask) == V4
