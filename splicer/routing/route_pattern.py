r"""A route's pattern as ``http.route`` of OpenTelemetry: the literal parts of its paths, and names for the rest.

path /health                                  /health
prefix /api/                                  /api/*
regex ^/api/v1/agents/(?<pod>[^/]+)/ws$       /api/v1/agents/{pod}/ws
"""

from __future__ import annotations

import re

from splicer.patterns import PathPattern

_LITERAL = re.compile(r"\\([^a-zA-Z0-9])|([^\\.\[\]()*+?{}|^$])")
_GROUP = re.compile(r"\(\?P?<(\w+)>")
_OPAQUE = re.compile(r"\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|[^()]", re.DOTALL)
_QUANTIFIERS = frozenset("*+?{")


def route_pattern(pattern: PathPattern) -> str | None:
    """The pattern in that form; None if it has none.

    A path itself must never take its place: each would be a name of its own.

    Args:
        pattern: the route's.
    """
    kind, _, text = pattern.text.partition(" ")
    if kind == "path":
        return text
    return f"{text}*" if kind == "prefix" else _of_regex(text)


def _of_regex(regex: str) -> str | None:
    if not regex.startswith("^"):
        return None
    parts, place = list[str](), 1
    while place < len(regex):
        if regex[place:] == "$":
            return "".join(parts)
        if literal := _LITERAL.match(regex, place):
            part, place = literal[1] or literal[2], literal.end()
        elif (group := _GROUP.match(regex, place)) and (end := _end_of_group(regex, group.end())):
            part, place = f"{{{group[1]}}}", end
        else:
            return None
        if regex[place : place + 1] in _QUANTIFIERS:
            return None
        parts.append(part)
    return "".join((*parts, "*"))


def _end_of_group(regex: str, place: int) -> int:
    """Where a group ends whose content begins at `place`; 0 if that is not found."""
    depth = 1
    while place < len(regex):
        if regex[place] == "(":
            depth, place = depth + 1, place + 1
        elif regex[place] == ")":
            depth, place = depth - 1, place + 1
            if not depth:
                return place
        elif opaque := _OPAQUE.match(regex, place):
            place = opaque.end()
        else:
            return 0
    return 0
