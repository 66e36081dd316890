"""Literal text with ``{captures}``: rewrites, and the hosts of upstreams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from attrs import field, frozen

from splicer.errors import BadCapture
from splicer.patterns import Template

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CAPTURES = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@frozen
class Capture:
    """A placeholder in a template."""

    name: str


@frozen
class CaptureTemplate:
    """A parsed template.

    Args:
        text: as the file has it.
        parts: literal text and captures, in order.
        captures: the names of those captures.
    """

    text: str
    parts: tuple[str | Capture, ...]
    captures: frozenset[str]
    _format: str = field(init=False, eq=False, repr=False)  # for "%": it fills in a template in one step

    @_format.default
    def _as_format(self) -> str:
        return "".join(part.replace("%", "%%") if isinstance(part, str) else f"%({part.name})s" for part in self.parts)

    def render(self, captures: Mapping[str, str]) -> str:
        """The text with the captures put in, unchanged."""
        return self._format % captures

    @cached_property
    def clear(self) -> frozenset[str]:
        """The captures that `captured` can tell: no other is in the same label."""
        labels = [_CAPTURES.findall(label) for label in self.text.split(".")]
        return frozenset(names[0] for names in labels if len(names) == 1)

    def captured(self, host: str) -> Mapping[str, str]:
        """The `clear` captures that `render` has put into a host name; none if it doesn't fit."""
        found = self._inverse.fullmatch(host)
        return {} if found is None else {name: found[name] for name in self.clear}

    @cached_property
    def _inverse(self) -> re.Pattern[str]:
        seen: set[str] = set()
        pattern = ""
        for part in self.parts:
            if isinstance(part, str):
                pattern += re.escape(part)
            elif part.name in seen:
                pattern += f"(?P={part.name})"
            else:
                seen.add(part.name)
                pattern += f"(?P<{part.name}>[a-z0-9-]+)"
        return re.compile(pattern)


def parse_template(text: str) -> CaptureTemplate:
    """Parse literal text with ``{captures}``; ``{{`` and ``}}`` stand for the braces themselves.

    Raises:
        ValueError: a brace without its partner, or braces around something that is no name.
    """
    parts: list[str | Capture] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[end : token.start()])
        parts.append(_part(token))
        end = token.end()
    parts.append(text[end:])
    kept = tuple(part for part in parts if part)
    return CaptureTemplate(text, kept, frozenset(part.name for part in kept if isinstance(part, Capture)))


def _part(token: re.Match[str]) -> str | Capture:
    match token[0]:
        case "{{" | "}}":
            return token[0][0]
        case "{":
            raise ValueError('"{" is not closed; write "{{" for the brace itself')
        case "}":
            raise ValueError('"}" closes nothing; write "}}" for the brace itself')
    if not token[1].isidentifier():
        raise ValueError(f"{token[0]} is no capture's name")
    return Capture(token[1])


def check_label(value: str) -> bool:
    """Whether a capture is one DNS label in lower case (RFC 1123 §2.1), without percent-decoding it."""
    return _LABEL.fullmatch(value) is not None


def render_host(template: Template, captures: Mapping[str, str]) -> str:
    """The host name to connect to, or an address literal.

    Invariant: a capture never adds a dot, so the fixed parts of the template alone determine the host's domain (design
    §5). A template without captures comes from the file and is not checked.

    Raises:
        BadCapture: a capture in the host is no DNS label, or the name is too long for DNS.
    """
    if not template.captures:
        return template.render(captures)
    names = template.captures
    for name in sorted(names) if len(names) > 1 else names:
        if not check_label(captures[name]):
            raise BadCapture(f"{{{name}}} is no DNS label: {captures[name]!r}")
    host = template.render(captures)
    # Only a name of more than 63 characters can have a label that is too long.
    if len(host) > 63 and (len(host) > 253 or any(len(label) > 63 for label in host.split("."))):
        raise BadCapture(f"too long for a DNS name: {host!r}")
    return host
