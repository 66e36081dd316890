"""The table of paths, methods and handlers of the admin address, and the handlers' requests and answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from attrs import frozen

from splicer.errors import BadRequest, MethodNotAllowed, NotFound
from splicer.model import Header, Respond


class Refused(Exception):
    """A handler's answer that is an error.

    Args:
        status: the HTTP status.
        text: one clear line.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@frozen
class Request:
    """A request, as its handler gets it.

    Args:
        query: all values of each parameter, decoded.
        body: the JSON object in the body; None without a body.
        part: the last segment of the path, decoded.
        client: the client's numeric address.
        accept: what the client accepts (RFC 9110 §12.5.1), as it says so.
        known: the entity tags that the client has (RFC 9110 §13.1.2).
    """

    query: Mapping[str, list[str]]
    body: dict[str, Any] | None = None
    part: str = ""
    client: str = ""
    accept: str = ""
    known: str = ""

    def one(self, name: str) -> str | None:
        """The value of a parameter that may be given once; None if it is absent.

        Raises:
            BadRequest: it is given several times.
        """
        values = self.query.get(name, [])
        if len(values) > 1:
            raise BadRequest(f"{name} is there {len(values)} times")
        return values[0] if values else None


class Stream(Protocol):
    """An answer without an end: it is sent in pieces for as long as the client reads."""

    content_type: str

    async def piece(self) -> bytes:
        """The next bytes."""
        ...

    def close(self) -> None:
        """The client has left."""


Handler = Callable[[Request], Awaitable[Respond | Stream]]


@frozen
class Page:
    """The handler of a path and method.

    Args:
        handle: answers the request.
        query: the allowed parameters.
        body: the allowed keys of the JSON object in the body; None: there must be no body.
        at_once: whether it never waits; it is then answered however many requests are being handled.
    """

    handle: Handler
    query: frozenset[str] = frozenset()
    body: frozenset[str] | None = None
    at_once: bool = False


Table = Mapping[str, Mapping[str, Page]]  # by path, which may end in "/{id}", and method


def find(table: Table, method: str, path: str) -> tuple[Page, str]:
    """The page, and the last segment of the path.

    Raises:
        NotFound: there is no such path.
        MethodNotAllowed: the path does not have this method.
    """
    pages = _pages(table, path)
    if pages is None:
        raise NotFound(f"there is no {path[:100]} here, but {', '.join(table)}")
    page = pages.get("GET" if method == "HEAD" else method)
    if page is None:
        raise MethodNotAllowed(allowed(table, path))
    return page, unquote(path.rpartition("/")[2])


def allowed(table: Table, path: str) -> tuple[str, ...]:
    """The methods of a path, or of all paths if it does not exist. HEAD goes with GET (RFC 9110 §9.3.2)."""
    pages = _pages(table, path)
    methods = pages if pages is not None else [method for pages in table.values() for method in pages]
    named = [name for method in methods for name in (("GET", "HEAD") if method == "GET" else (method,))]
    return tuple(dict.fromkeys(named))


def _pages(table: Table, path: str) -> Mapping[str, Page] | None:
    parent, _, last = path.rpartition("/")
    return table.get(path if path in table or not last else f"{parent}/{{id}}")


def in_json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Respond:
    """An answer in JSON."""
    return Respond(status, json.dumps(value).encode() + b"\n", "application/json", headers)
