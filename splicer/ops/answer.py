"""Checked access to the admin address's answers: it may be of another version, or be another service altogether."""

from __future__ import annotations

from typing import Any

from splicer.ops.failure import AdminFailed

JsonObject = dict[str, Any]


def rows(answer: JsonObject, key: str) -> list[JsonObject]:
    """The objects of a list in an answer.

    Raises:
        AdminFailed: the answer has no such list.
    """
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise AdminFailed(f'the answer has no list of "{key}": is this the admin address of a splicer?')
    return found


def part(answer: JsonObject, key: str) -> JsonObject:
    """An object within an object; {} if it is absent."""
    found = answer.get(key)
    return found if isinstance(found, dict) else {}


# Names come out of URLs that anybody may send, and a terminal obeys what it is sent.
