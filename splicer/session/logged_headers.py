"""The request headers that the log has."""

from __future__ import annotations

from attrs import frozen

from splicer.model import RequestHead

_MAX_CHARACTERS = 256


@frozen
class LoggedHeader:
    """A header that is logged.

    Args:
        name: its name in lower case.
        field: its field in the log.
    """

    name: bytes
    field: str


def logged_values(head: RequestHead, wanted: tuple[LoggedHeader, ...]) -> tuple[tuple[str, str], ...]:
    """The field and the value of each header that the request has; several lines of one are joined by a comma.

    Args:
        head: the request.
        wanted: the headers that are logged.
    """
    found = []
    for header in wanted:
        if values := head.values(header.name):
            value = b", ".join(values)
            text = value[: 4 * _MAX_CHARACTERS].decode("utf-8", "backslashreplace")
            cut = len(value) > 4 * _MAX_CHARACTERS or len(text) > _MAX_CHARACTERS
            found.append((header.field, f"{text[:_MAX_CHARACTERS]}…" if cut else text))
    return tuple(found)
