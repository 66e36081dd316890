"""The patterns of locations, and the order in which they are tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from attrs import frozen

from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement, walk
from splicer.importer.nginx.values import named_groups

_PLAIN = "!$&'()*+,;=:@/-._~%"
_MODIFIERS = ("=", "^~", "~*", "~")
_NUMBERED = re.compile(r"\$[1-9]")
_NAME_PARTS = re.compile(r"\(\?P?<(\w+)>|[\w-]+")
_NOT_IN_NAME = re.compile(r"\\.|\[[^\]]*\][+*?]?|\(\?i\)|[\^$]")


@frozen
class Location:
    """A location with its modifier taken off.

    Args:
        statement: the directive.
        scope: what holds in it.
        modifier: "=", "^~", "~", "~*", or "" for a plain prefix.
        text: the path or the expression.
    """

    statement: Statement
    scope: Scope
    modifier: str
    text: str

    @property
    def is_regex(self) -> bool:
        """Whether it is an expression."""
        return self.modifier.startswith("~")


def location_of(statement: Statement, outer: Scope) -> Location:
    """Take a `location` apart; ``=/x`` without a space is valid too."""
    scope = Scope(statement.block or (), outer)
    modifier, text = statement.args if len(statement.args) == 2 else ("", statement.first)
    if not modifier and not text.startswith(("/", "@")):
        found = next((each for each in _MODIFIERS if text.startswith(each)), "")
        modifier, text = found, text.removeprefix(found)
    return Location(statement, scope, modifier, text)


def pattern_of(location: Location) -> tuple[str, str, dict[str, str]]:
    """The key of a route, its value, and the names for ``$1`` to ``$9``."""
    if not location.is_regex:
        return ("path" if location.modifier == "=" else "prefix"), quote(location.text, safe=_PLAIN), {}
    uses = any(_NUMBERED.search(arg) for each in walk(location.scope.statements) for arg in each.args)
    regex, groups = named_groups(location.text) if uses else (spelt_for_re2(location.text), {})
    return "regex", ("(?i)" if location.modifier == "~*" else "") + regex, groups


def spelt_for_re2(regex: str) -> str:
    """The same expression with PCRE's other spelling of a named group as RE2 has it."""
    return re.sub(r"\(\?'([A-Za-z_]\w*)'", r"(?<\1>", regex)


def name_of(location: Location) -> str:
    """A name for its route."""
    if location.text == "/":
        return "all"
    if not location.is_regex:
        return location.text
    found = [each for each in _NAME_PARTS.finditer(_NOT_IN_NAME.sub(" ", location.text)) if each[0].strip("-")]
    literal = [each[0] for each in found if each[1] is None]
    return "-".join(literal or [each[1] for each in found]) or "regex"


def in_order(locations: Sequence[Location]) -> list[Location]:
    """Locations as splicer is to try them, which takes the first that matches (ngx_http_core_find_location).

    nginx takes an exact one, else the longest prefix if it is one of ``^~``, else the first regex, else that prefix. A
    plain prefix below one of ``^~`` comes before that: the regexes are not tried for it (see `overtaken`).
    """
    exact = [each for each in locations if each.modifier == "="]
    regexes = [each for each in locations if each.is_regex]
    prefixes = sorted((each for each in locations if each.modifier in ("", "^~")), key=lambda each: -len(each.text))
    first = [each for each in prefixes if each.modifier == "^~" or _below(each, prefixes)]
    return [*exact, *first, *regexes, *[each for each in prefixes if each not in first]]


def overtaken(locations: Sequence[Location]) -> list[Location]:
    """Plain prefixes below one of ``^~`` while there are regexes, which nginx would try before them."""
    if not any(each.is_regex for each in locations):
        return []
    return [each for each in locations if each.modifier == "" and _below(each, locations)]


def _below(location: Location, others: Sequence[Location]) -> bool:
    return any(other.modifier == "^~" and location.text.startswith(other.text) for other in others)
