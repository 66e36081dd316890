"""``[[errors]]``: the bodies of refusals and of pods' errors, by status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from attrs import frozen

from splicer.config import kinds
from splicer.config.keys import key
from splicer.config.reader import Fault, Reader
from splicer.config.respond import BODY, CONTENT_TYPE
from splicer.config.scalars import show


@frozen
class ErrorPage:
    """One table."""

    status: tuple[int, ...] = key(
        kinds.list_of(kinds.integer(400, 599), "statuses from 400 to 599", empty="no answer would have the body"),
        "The statuses of the answers that get the body: the edge's own refusals, and pods' answers of 500 or more.",
    )
    body: bytes = key(BODY, "The whole body.")
    content_type: str = key(CONTENT_TYPE, "The `Content-Type` of the body.", default="text/plain; charset=utf-8")


ErrorPages = Mapping[int, ErrorPage]
ERROR_PAGE = Reader(ErrorPage)
NO_PAGES: ErrorPages = MappingProxyType({})


def read_error_pages(tables: object) -> tuple[tuple[ErrorPage, ...], tuple[tuple[str, Fault], ...]]:
    """All tables without faults, and the faults, each with the place of its table.

    Args:
        tables: the value that TOML gave.
    """
    if not isinstance(tables, list):
        fault = Fault((), f"must be an array of tables, not {show(tables)}; write [[errors]] above each table")
        return (), (("errors", fault),)
    pages: list[ErrorPage] = []
    faults: list[tuple[str, Fault]] = []
    taken: dict[int, int] = {}
    for index, table in enumerate(tables, 1):
        reading = ERROR_PAGE.read(table)
        faults += ((f"errors {index}", fault) for fault in reading.faults)
        if reading.value is not None:
            faults += ((f"errors {index}", fault) for fault in _repeated(reading.value, index, taken))
            pages.append(reading.value)
    return tuple(pages), tuple(faults)


def _repeated(page: ErrorPage, index: int, taken: dict[int, int]) -> Iterator[Fault]:
    for status in page.status:
        if status in taken:
            yield Fault(("status",), f"errors {taken[status]} has {status} already; a status has one body")
        taken.setdefault(status, index)


def by_status(pages: tuple[ErrorPage, ...]) -> ErrorPages:
    """The page of each status that has one."""
    return {status: page for page in pages for status in page.status}
