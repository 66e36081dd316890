"""Declaring messages between two processes, and recognizing them.

A message is a frozen dataclass. Its base class is its border: the process that sends it, and the one that receives it.
On the wire it is one flat JSON object with its kind, its fields, and the fields of `ipc.wire` (`version`, `fds`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

from splicer.ipc.codec import MalformedError, from_object

ENVELOPE = frozenset({"version", "kind", "fds"})  # what the wire adds: no field has such a name

M = TypeVar("M", bound="Message")


class Message:
    """The base of all messages."""

    __slots__ = ()
    KIND: ClassVar[str]  # its name on the wire
    SINCE: ClassVar[int]  # the first version of the wire that has it
    KINDS: ClassVar[dict[str, type[Message]]]  # of a border: its messages, by kind

    # Once for all messages: those that a dataclass makes would take half a megabyte of the supervisor and the template.
    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash((type(self), *_values(self)))

    def __repr__(self) -> str:
        named = zip((field.name for field in fields(self)), _values(self), strict=True)  # type: ignore[arg-type]
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in named)})"


def _values(declared: Any) -> tuple[Any, ...]:
    return tuple(getattr(declared, field.name) for field in fields(declared))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Answer(Message):
    """A message that answers a request.

    Args:
        request: the number of the request; all older requests of the same kind are answered with it.
    """

    request: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Request(Message):
    """A message whose sender waits for an answer.

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
        since: the first version of the wire that has it (`wire.VERSION`).
    """

    def declare(cls: type[M]) -> type[M]:
        declared = dataclass(frozen=True, slots=True, eq=False, repr=False)(cls)
        declared.KIND, declared.SINCE = kind, since
        for border in declared.__mro__:
            if "KINDS" in vars(border):
                border.KINDS[kind] = declared  # type: ignore[attr-defined]  # a border is a message
        return declared

    return declare


def understand(border: type[M], raw: dict[str, Any]) -> M | None:
    """Convert a JSON object to a message; None: its kind is unknown to this version, and must be ignored.

    Raises:
        MalformedError: its kind is known, but it is no valid message of that kind.
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
