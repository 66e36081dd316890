from __future__ import annotations

import pytest

from bench.traffic.ledger import Ledger
from bench.traffic.outcome import Outcome

MS = 1_000_000


def filled() -> Ledger:
    """Two tunnels, four frames each, one every 20 ms; echoes after 1 ms."""
    ledger = Ledger(4, 2)
    for number in range(8):
        ledger.sent[number] = (100 + 10 * number) * MS
        ledger.came[number] = ledger.sent[number] + MS
    return ledger


def told(ledger: Ledger, living: set[int]) -> Outcome:
    outcome = Outcome()
    ledger.tell(outcome, living, 0.020)
    return outcome


def test_all_came() -> None:
    ledger = filled()
    outcome = told(ledger, {0, 1})
    assert ledger.settled({0, 1})
    assert (outcome.count, outcome.missing, outcome.stall_ms) == (16, 0, 0.0)
    assert list(outcome.latencies) == pytest.approx([0.001] * 8)


def test_a_stall_is_the_silence_beyond_the_pace() -> None:
    ledger = filled()
    ledger.came[4] += 7 * MS
    assert told(ledger, {0, 1}).stall_ms == pytest.approx(7.0)


def test_who_lives_owes_its_echoes() -> None:
    ledger = filled()
    ledger.came[5] = ledger.came[7] = 0
    outcome = told(ledger, {0, 1})
    assert not ledger.settled({0, 1})
    assert (outcome.count, outcome.missing) == (12, 2)
    assert outcome.stall_ms == pytest.approx(170 - 131 - 20)


def test_who_is_lost_owes_nothing() -> None:
    ledger = filled()
    ledger.came[5] = ledger.came[7] = 0
    outcome = told(ledger, {0})
    assert ledger.settled({0})
    assert (outcome.missing, outcome.stall_ms) == (0, 0.0)
