from __future__ import annotations

import random

import pytest

from splicer.discovery.failures import REASONS, ApiFailure, Refused
from splicer.discovery.rules import Effect, Rules


@pytest.fixture
def rules() -> Rules:
    return Rules(random.Random(1))


@pytest.mark.parametrize("reason", REASONS)
def test_no_failure_is_answered_for_ever_without_a_pause(rules: Rules, reason: str) -> None:
    pauses = [rules.after(ApiFailure(reason, "x"), now=0.0).pause for _ in range(10)]
    if reason != "silence":  # which takes 150 s to notice
        assert all(pause > 0 for pause in pauses[1:])
        assert sum(pauses) > 20


@pytest.mark.parametrize(
    ("reason", "lists", "effect"),
    [
        ("connect", False, Effect.FAILING),
        ("tls", False, Effect.FAILING),
        ("timeout", False, Effect.FAILING),
        ("token", False, Effect.FAILING),
        ("ca", False, Effect.FAILING),
        ("short", False, Effect.FAILING),
        ("server_error", False, Effect.FAILING),
        ("throttled", False, Effect.FAILING),
        ("gone", True, Effect.NONE),
        ("silence", True, Effect.NONE),
        ("too_new", True, Effect.LOST),
        ("error", True, Effect.LOST),
        ("garbage", True, Effect.LOST),
        ("unauthorized", False, Effect.FAILING),
        ("forbidden", False, Effect.FAILING),
    ],
)
def test_the_first_time(rules: Rules, reason: str, lists: bool, effect: Effect) -> None:
    verdict = rules.after(ApiFailure(reason, "x"), now=0.0)
    assert (verdict.list, verdict.effect) == (lists, effect)


def test_every_reason_is_in_the_table_above() -> None:
    marks = test_the_first_time.pytestmark  # type: ignore[attr-defined]  # pytest puts it there
    assert sorted(row[0] for row in marks[0].args[1]) == sorted(REASONS)


def test_refusals_are_believed_when_they_are_repeated(rules: Rules) -> None:
    unauthorized = Refused("unauthorized", "x", status=401)
    effects = [rules.after(unauthorized, 0.0).effect for _ in range(3)]
    assert effects == [Effect.FAILING, Effect.DENIED, Effect.DENIED]
    forbidden = Refused("forbidden", "x", status=403)
    verdicts = [rules.after(forbidden, 0.0) for _ in range(5)]
    assert [verdict.pause for verdict in verdicts] == [0.2, 0.8, 2.0, 30.0, 30.0]
    assert [verdict.effect for verdict in verdicts[2:4]] == [Effect.FAILING, Effect.DENIED]
    rules.succeeded()
    assert rules.after(forbidden, 0.0).effect is Effect.FAILING
    assert rules.after(unauthorized, 0.0).pause == 0


def test_gone_again_within_ten_seconds(rules: Rules) -> None:
    gone = ApiFailure("gone", "x")
    assert rules.after(gone, 0.0).pause == 0
    assert rules.after(gone, 9.0).pause > 0
    assert rules.after(gone, 20.0).pause == 0
