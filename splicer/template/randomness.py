"""Generators of random numbers in a forked process: they must not go on from the state that all its siblings have."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from random import Random


def sources() -> list[Random]:
    """All generators of this process, those of libraries included; call this before `gc.freeze`, which hides them."""
    return [found for found in gc.get_objects() if issubclass(type(found), Random)]


def renew(generators: Iterable[Random]) -> None:
    """Seed each one from the kernel (getrandom(2))."""
    for generator in generators:
        generator.seed()
