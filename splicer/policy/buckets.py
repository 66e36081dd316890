"""Token buckets by key, in bounded memory and without a timer.

A bucket is one number: when it would be full again (the virtual scheduling algorithm, ITU-T I.371 annex A). So a full
bucket needs no entry, and nothing has to be refilled.
"""

from __future__ import annotations

from collections.abc import Hashable

_MOST_KEYS = 10_000
_GROUP = 8  # entries of which one is replaced
_ROUNDING = 1e-6  # seconds: a client that keeps exactly to the rate is not refused for a rounding error


class Buckets:
    """The buckets of one limit.

    Invariant: of one key, at most ``burst + t / interval`` tokens are taken in any time t, unless its entry is replaced
    meanwhile. When there are the most keys, a new one replaces the fullest bucket of a small group. So an empty bucket
    is replaced only when all others of its group are emptier: a client that wants that has to use up the burst of so
    many other keys first, and gains less than these had.

    Args:
        most: the most keys that are remembered.
    """

    def __init__(self, most: int = _MOST_KEYS) -> None:
        self._most = most
        self._full_at: dict[Hashable, float] = {}
        self._keys: list[Hashable] = []  # those of the dictionary, each at a fixed place
        self._next = 0  # the first place of the next group

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, key: Hashable, now: float, interval: float, burst: float) -> float:
        """Take a token; return 0.0, or the seconds until there is one: then nothing has changed.

        Args:
            key: whose bucket.
            now: on a monotonic clock, seconds.
            interval: seconds in which one token comes.
            burst: tokens in a full bucket, at least 1.
        """
        before = self._full_at.get(key)
        full_at = (now if before is None or before < now else before) + interval
        wait = full_at - now - burst * interval
        if wait > _ROUNDING:
            return wait
        if before is None:
            self._remember(key)
        self._full_at[key] = full_at
        return 0.0

    def _remember(self, key: Hashable) -> None:
        keys = self._keys
        if len(keys) < self._most:
            keys.append(key)
            return
        group = [place % len(keys) for place in range(self._next, self._next + _GROUP)]
        self._next = (self._next + _GROUP) % len(keys)
        fullest = min(group, key=lambda place: self._full_at[keys[place]])
        del self._full_at[keys[fullest]]
        keys[fullest] = key
