"""Values of a route's edits: literal text with ``{captures}`` and with what is known of the request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import frozen

from splicer.edits import RequestFacts

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADER = re.compile(r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_NOT_IN_FIELD = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

FACTS: Mapping[str, Callable[[RequestFacts], str]] = MappingProxyType(
    {
        "client": lambda facts: facts.client,
        "host": lambda facts: facts.host,
        "path": lambda facts: facts.path,
        "query": lambda facts: facts.query or "",
        "request_id": lambda facts: facts.request_id,
        "scheme": lambda facts: facts.scheme,
        "target": lambda facts: facts.target,
    }
)


@frozen
class Name:
    """A name in a value: of a capture, or of a request's fact."""

    text: str

    def of(self, facts: RequestFacts) -> str:
        """What it stands for; a capture that an authorizer has not given is empty."""
        fact = FACTS.get(self.text)
        return facts.captures.get(self.text, "") if fact is None else fact(facts)


@frozen
class HeaderName:
    """``{header:NAME}``; the name is in lower case."""

    name: bytes

    def of(self, facts: RequestFacts) -> str:
        """The values of the request's field."""
        return facts.header(self.name)


Part = str | Name | HeaderName


@frozen
class RequestValue:
    """A parsed value.

    Args:
        text: as the file has it.
        parts: literal text and names, in order.
        names: see `edits.Value`.
    """

    text: str
    parts: tuple[Part, ...]
    names: frozenset[str]

    # The parsers of heads let no control character pass, so this is the second of two locks. RFC 9110 §5.5 has a
    # recipient replace them by spaces.
    def render(self, facts: RequestFacts) -> str:
        """See `edits.Value`."""
        text = "".join([part if isinstance(part, str) else part.of(facts) for part in self.parts])
        return _NOT_IN_FIELD.sub(" ", text)


def parse_value(text: str) -> RequestValue:
    """Parse a value; ``{{`` and ``}}`` stand for the braces themselves.

    Raises:
        ValueError: a brace without its partner, or braces around something that is no name.
    """
    parts: list[Part] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[end : token.start()])
        parts.append(_part(token))
        end = token.end()
    parts.append(text[end:])
    return made_of(text, [part for part in parts if part])


def made_of(text: str, parts: list[Part]) -> RequestValue:
    """A value of these parts."""
    return RequestValue(text, tuple(parts), frozenset(part.text for part in parts if isinstance(part, Name)))


def _part(token: re.Match[str]) -> Part:
    match token[0]:
        case "{{" | "}}":
            return token[0][0]
        case "{":
            raise ValueError('"{" is not closed; write "{{" for the brace itself')
        case "}":
            raise ValueError('"}" closes nothing; write "}}" for the brace itself')
    if header := _HEADER.fullmatch(token[1]):
        return HeaderName(header[1].lower().encode())
    if not token[1].isidentifier():
        raise ValueError(f"{token[0]} is no name; write for example {{host}} or {{header:User-Agent}}")
    return Name(token[1])
