"""Comma-separated field values (RFC 9110 §5.6.1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from splicer.errors import BadAnswer, HeadTooLarge

# Of Connection and of Upgrade. Both are split several times per request, and 32 KiB of commas take 1 ms each time.
MOST_MEMBERS = 100
_SHORT = 64  # bytes of a list that is remembered
_LIST = re.compile(rb"\r\n(connection|upgrade):([^\r]*+)", re.IGNORECASE)


def list_members(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """Split field values into their members, in lower case; empty members are dropped."""
    joined = b",".join(values)
    return _members(joined) if len(joined) <= _SHORT else _members.__wrapped__(joined)


# Nearly all Connection and Upgrade fields are one of a few.
@lru_cache(maxsize=64)
def _members(joined: bytes) -> tuple[bytes, ...]:
    return tuple([member for part in joined.lower().split(b",") if (member := part.strip(b" \t"))])


def check_lists(raw: bytes, error: type[HeadTooLarge] | type[BadAnswer]) -> None:
    """Refuse a head whose Connection or Upgrade has more than `MOST_MEMBERS`, in one field or in several.

    Args:
        raw: a head whose every line is known to be well formed.
        error: raised for that.
    """
    if raw.count(b",") + raw.count(b"\r\n") < MOST_MEMBERS:
        return
    members: Counter[bytes] = Counter()
    for name, value in _LIST.findall(raw):
        members[name.lower()] += value.count(b",") + 1
    for name, count in members.items():
        if count > MOST_MEMBERS:
            raise error(f"{name.decode('ascii')} of more than {MOST_MEMBERS} members")
