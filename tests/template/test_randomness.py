"""Siblings have nothing random in common."""

from __future__ import annotations

import random

from splicer.template.randomness import renew, sources
from tests.template.stand import Stand


def test_siblings_go_on_from_different_states(template: Stand) -> None:
    """The module's generator, Trio's, one of a library's own; and what is made of them: ids of requests and queries."""
    told = [template.fork()[1] for _ in range(3)]
    for name in ("random", "ids"):
        for values in zip(*(one[name] for one in told), strict=True):
            assert len(set(values)) == 3, name


def test_every_generator_is_found_and_gets_another_state() -> None:
    ours = random.Random(7)
    found = sources()
    assert any(one is ours for one in found)
    before = ours.getstate()
    renew([ours, random.SystemRandom()])
    assert ours.getstate() != before
