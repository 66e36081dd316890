"""What a message between two processes is, and how it is told from others.

A message is a frozen dataclass. Its base class is its border: it says which process sends it, and to which. On the wire
it is one flat JSON object: its kind, its fields, and what `ipc.wire` adds (`version`, `fds`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from splicer.ipc.codec import MalformedError, from_object

ENVELOPE = frozenset({"version", "kind", "fds"})  # what the wire adds: no field has such a name

M = TypeVar("M", bound="Message")


class Message:
    """Any of them."""

    __slots__ = ()
    KIND: ClassVar[str]  # its name on the wire
    SINCE: ClassVar[int]  # the version of the wire that it came in
    KINDS: ClassVar[dict[str, type[Message]]]  # of a border: its messages


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """A message that answers another.

    Args:
        request: the number of the newest request that it answers: with it all older ones of the same kind are answered.
    """

    request: int


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A message that somebody waits for an answer to.

    Args:
        request: its number, higher than any that the same sender has used before.
    """

    ANSWER: ClassVar[type[Answer]]

    request: int


@dataclass_transform(frozen_default=True)
def message(kind: str, *, since: int) -> Callable[[type[M]], type[M]]:
    """Declare a message.

    Args:
        kind: its name on the wire, for ever.
        since: the version of the wire that it came in (`wire.VERSION`).
    """

    def declare(cls: type[M]) -> type[M]:
        declared = dataclass(frozen=True, slots=True)(cls)
        declared.KIND, declared.SINCE = kind, since
        for border in declared.__mro__:
            if "KINDS" in vars(border):
                border.KINDS[kind] = declared  # type: ignore[attr-defined]  # a border is a message
        return declared

    return declare


def understand(border: type[M], raw: dict[str, Any]) -> M | None:
    """The message that a JSON object is; None: it is of a kind that this version doesn't know, to be ignored.

    Raises:
        MalformedError: its kind is known, and it is no such message.
    """
    kind = raw.get("kind")
    if not isinstance(kind, str):
        raise MalformedError(f"a message without a kind: {str(raw)[:100]}")
    cls = border.KINDS.get(kind)
    if cls is None:
        return None
    understood = from_object(cls, {name: value for name, value in raw.items() if name not in ENVELOPE})
    assert isinstance(understood, border)  # noqa: S101 - the registry has nothing else
    return understood
