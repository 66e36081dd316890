"""Where a redirect leads: a template of which only the file, or a host that the route serves, chooses the host."""

from __future__ import annotations

import re

from attrs import frozen

from splicer.edits import RequestFacts
from splicer.errors import BadRequest
from splicer.routing.value import HeaderName, Name, Part, RequestValue, made_of, parse_value

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_AFTER_HOST = re.compile(r"[/?#]")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_LAST_PORT = 65535
_LEADING_SLASHES = re.compile(r"[/\\]+")
_HOST_NAME = Name("host")


@frozen
class Location:
    """A parsed `to`.

    Args:
        text: as the file has it.
        base: scheme and host; empty for a redirect within the host.
        rest: the path and what follows it.
    """

    text: str
    base: RequestValue
    rest: RequestValue

    @property
    def names(self) -> frozenset[str]:
        """See `edits.Value`."""
        return self.base.names | self.rest.names

    # Invariant: nothing of the request but a Host that the route's `hosts` have let in is within the host of the URL: a
    # slash follows it in any case, and without a host no two slashes begin one (RFC 3986 §4.2).
    def render(self, facts: RequestFacts) -> str:
        """The value of the Location field.

        Raises:
            BadRequest: it would have the request's Host, and that is no plain name or address.
        """
        rest = self.rest.render(facts)
        if facts.query is None:  # "/new?" would be another URL than "/new", to caches too
            rest = rest.removesuffix("?")
        if not self.base.parts:
            return "/" + _LEADING_SLASHES.sub("", rest, count=1) if rest[:1] in "/\\" else f"/{rest}"
        if "host" in self.base.names and not _HOST.fullmatch(facts.host):
            raise BadRequest(f"no redirect leads to the host {facts.host!r}")
        joint = "" if not rest or _AFTER_HOST.match(rest) else "/"
        return self.base.render(facts) + joint + rest


def parse_location(text: str) -> Location:
    """Parse the target of a redirect.

    Raises:
        ValueError: a brace without its partner, no URL, or a host that the request would choose.
    """
    parts = list(parse_value(text).parts)
    if any(isinstance(part, HeaderName) for part in parts):
        raise ValueError("no header field may choose where a redirect leads")
    base: list[Part] = []
    first = parts[0] if parts else ""
    if first == Name("scheme") and len(parts) > 1 and isinstance(parts[1], str) and parts[1].startswith("://"):
        base = [first, "://"]
        parts[:2] = [parts[1].removeprefix("://")]
    elif isinstance(first, str) and (scheme := _SCHEME.match(first)):
        base = [scheme[0]]
        parts[0] = first[scheme.end() :]
    elif isinstance(first, str) and first.startswith("/") and not first.startswith("//"):
        return Location(text, made_of("", []), made_of(text, parts))
    else:
        raise ValueError('must begin with "https://", "http://", "{scheme}://" or one "/"')
    host, rest = _split(parts)
    whole = _HOST.fullmatch("".join("h" if part == _HOST_NAME else str(part) for part in host))
    if whole is None:
        raise ValueError("after its scheme a host must stand: literal text or {host}; no other name may choose it")
    if whole[1] is not None and not 1 <= int(whole[1]) <= _LAST_PORT:
        raise ValueError(f'port "{whole[1]}" is not between 1 and {_LAST_PORT}')
    return Location(text, made_of("", base + host), made_of("", rest))


def _split(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """The parts of the host, and those after it."""
    host: list[Part] = []
    for index, part in enumerate(parts):
        if isinstance(part, str) and (end := _AFTER_HOST.search(part)):
            return [*host, part[: end.start()]], [part[end.start() :], *parts[index + 1 :]]
        if not isinstance(part, str) and part != _HOST_NAME:
            return host, parts[index:]
        host.append(part)
    return host, []
