"""Comma-separated field values (RFC 9110 §5.6.1)."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.errors import BadAnswer, HeadTooLarge
from splicer.http1.head import FramingFields

# Of Connection and of Upgrade. They are taken apart several times on the way, and 32 KiB of commas take 1 ms each time.
MOST_MEMBERS = 100


def list_members(values: Iterable[bytes]) -> list[bytes]:
    """Split field values into their members, in lower case; empty ones are none."""
    return [member for value in values for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def check_lists(fields: FramingFields, error: type[HeadTooLarge] | type[BadAnswer]) -> None:
    """Refuse a head whose Connection or Upgrade has more than `MOST_MEMBERS`.

    Args:
        fields: what `framing_fields` found.
        error: what to raise.
    """
    for name in (b"connection", b"upgrade"):
        if name in fields and sum(value.count(b",") + 1 for value in fields[name]) > MOST_MEMBERS:
            raise error(f"{name.decode('ascii')} of more than {MOST_MEMBERS} members")
