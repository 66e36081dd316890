"""What a route changes in heads: header fields, the pod's Host, and where a redirect leads.

Everything is compiled when the configuration is read; a request whose route has edits has the values filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import field, frozen

_Field = tuple[bytes, bytes]
_SECURE_ONLY = b"strict-transport-security"


@frozen
class RequestFacts:
    """What a value may name of a request.

    Args:
        captures: of the route's pattern, with percent-encoding as received.
        host: the host that the request is for, without a port, in lower case.
        client: the client's address after `trusted_proxies`.
        scheme: "http" or "https", as a trusted proxy has said.
        path: as received.
        query: the text after the "?"; None without one.
        request_id: X-Request-ID.
        headers: all fields of the request.
    """

    captures: Mapping[str, str]
    host: str
    client: str
    scheme: str
    path: str
    query: str | None
    request_id: str
    headers: tuple[_Field, ...]

    @property
    def target(self) -> str:
        """Path and query as received."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def header(self, name: bytes) -> str:
        """All values of a field, joined by commas (RFC 9110 §5.3); "" without one. `name` is in lower case."""
        return b", ".join([value for key, value in self.headers if key.lower() == name]).decode("latin-1")


class Value(Protocol):
    """Literal text with ``{captures}`` and the names of `RequestFacts`."""

    @property
    def text(self) -> str:
        """The value as the file has it."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The names of the captures and facts in it, without ``{header:NAME}``."""
        ...

    def render(self, facts: RequestFacts) -> str:
        """The text with the names replaced.

        Invariant: it has no control character but the tab.
        """
        ...


@frozen
class Redirect:
    """An answer that leads the client elsewhere.

    Args:
        to: the value of its Location.
        status: 301, 302, 303, 307 or 308.
    """

    to: Value
    status: int = 302


def same_field(name: bytes) -> bytes:
    """What the names of one field have in common: case doesn't count, and CGI and WSGI don't tell "_" from "-"."""
    return name.lower().replace(b"_", b"-")


@frozen
class FieldEdits:
    """The changes to the fields of one message.

    Args:
        names: the fields to remove, as `same_field` gives them.
        added: the fields to add at the end.
    """

    names: frozenset[bytes]
    added: tuple[_Field, ...]

    def apply(self, fields: Iterable[_Field]) -> list[_Field]:
        """Fields after the changes."""
        return [*self.strip(fields), *self.added]

    def strip(self, fields: Iterable[_Field]) -> list[_Field]:
        """Fields, or trailers, without those that are removed or replaced."""
        return without(fields, self.names)


def without(fields: Iterable[_Field], names: frozenset[bytes]) -> list[_Field]:
    """Fields, or trailers, without some; `names` are as `same_field` gives them."""
    return [item for item in fields if same_field(item[0]) not in names]


@frozen
class HeaderEdits:
    """A route's `request_headers` or `response_headers`.

    Args:
        entries: name and value, in the file's order; the value None removes the field.
    """

    entries: tuple[tuple[bytes, Value | None], ...]
    _names: frozenset[bytes] = field(init=False, eq=False, repr=False)

    @_names.default
    def _(self) -> frozenset[bytes]:
        return frozenset(same_field(name) for name, _ in self.entries)

    def strip(self, trailers: tuple[_Field, ...]) -> tuple[_Field, ...]:
        """Trailers without the fields that are removed or replaced."""
        return tuple(without(trailers, self._names)) if trailers else ()

    # Invariant: no Strict-Transport-Security of ours goes over plain HTTP (RFC 6797 §7.2).
    def render(self, facts: RequestFacts) -> FieldEdits:
        """The changes for one request. A value that comes out empty removes the field."""
        added = []
        for name, value in self.entries:
            if value is None or (facts.scheme != "https" and name.lower() == _SECURE_ONLY):
                continue
            if text := value.render(facts).strip(" \t"):
                added.append((name, text.encode("latin-1")))
        return FieldEdits(self._names, tuple(added))


@frozen
class Edits:
    """All edits of a route; None: it has none of the kind.

    Args:
        host: the Host that the pod gets.
        request: the changes to the request for the pod.
        response: the changes to every answer that the client gets.
    """

    host: Value | None = None
    request: HeaderEdits | None = None
    response: HeaderEdits | None = None
