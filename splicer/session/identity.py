"""Names for requests: random, so that none comes twice, on any worker or edge."""

from __future__ import annotations

import os
from collections.abc import Iterator

_BYTES = 8  # of a name
_AT_ONCE = 512  # names for one getrandom(2), which costs as much as making a hundred of them


def identities() -> Iterator[str]:
    """16 hexadecimal digits each, without end."""
    while True:
        digits = os.urandom(_AT_ONCE * _BYTES).hex()
        for start in range(0, len(digits), 2 * _BYTES):
            yield digits[start : start + 2 * _BYTES]
