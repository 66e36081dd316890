"""A process lifts its limit of descriptors."""

from __future__ import annotations

import resource

import pytest

from splicer.vault.limits import raise_descriptor_limit


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What this process is limited to, in the order in which it was set."""
    now = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: now.append(pair))
    return now


def test_the_soft_limit_becomes_the_hard_one(limits: list[tuple[int, int]]) -> None:
    raise_descriptor_limit()
    assert limits == [(1024, 4096), (4096, 4096)]


# fs.nr_open may have been lowered since (setrlimit(2), EPERM).
@pytest.mark.parametrize("error", [ValueError, PermissionError])
def test_a_limit_that_can_not_be_lifted_is_gone_on_with(
    limits: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_descriptor_limit()
    assert limits == [(1024, 4096)]
