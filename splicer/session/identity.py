"""Request ids: random, so that no two are equal, on any worker or edge."""

from __future__ import annotations

import os
from collections.abc import Iterator

_BYTES = 8  # of an id
_AT_ONCE = 512  # ids from one getrandom(2), which takes as long as formatting a hundred of them


def identities() -> Iterator[str]:
    """An endless sequence of ids of 16 hexadecimal digits."""
    while True:
        digits = os.urandom(_AT_ONCE * _BYTES).hex()
        for start in range(0, len(digits), 2 * _BYTES):
            yield digits[start : start + 2 * _BYTES]
