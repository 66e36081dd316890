"""How many examples a law is tried with."""

from __future__ import annotations

from hypothesis import settings

_ALL = 100  # hypothesis' own number, and that of a run with the slow tests

settings.register_profile("all", deadline=None, max_examples=_ALL)  # a shared machine pauses now and then
settings.register_profile("some", deadline=None, max_examples=_ALL // 4)


def try_all(everything: bool) -> None:
    """Try each law with all examples, or else with a quarter of them; call this before tests are imported."""
    settings.load_profile("all" if everything else "some")


def examples(count: int) -> int:
    """So many, or a quarter of them; five are not too many for anyone."""
    return max(min(count, 5), count * settings().max_examples // _ALL)
