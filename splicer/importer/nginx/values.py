"""nginx's variables: what they come to in templates and header values of routing.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from splicer.importer.nginx.source import END, MARK
from splicer.importer.paths import escaped

_VARIABLE = re.compile(rf"{MARK}([A-Za-z0-9_]+){END}|\$([1-9])|\$([A-Za-z_][A-Za-z0-9_]*)")
_FACTS: Mapping[str, str] = {
    "host": "{host}",
    "http_host": "{header:Host}",
    "remote_addr": "{client}",
    "realip_remote_addr": "{client}",
    "request_uri": "{target}",
    "uri": "{path}",
    "document_uri": "{path}",
    "args": "{query}",
    "query_string": "{query}",
    "scheme": "{scheme}",
    "request_id": "{request_id}",
}
_GROUP = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(\((?!\?))|\(\?P?<([A-Za-z_]\w*)>|\(\?'([A-Za-z_]\w*)'")


@frozen
class Variable:
    """A variable in a word; `name` without the dollar."""

    name: str


Part = str | Variable


def parts_of(word: str) -> list[Part]:
    """A word as literal text and variables."""
    parts: list[Part] = []
    end = 0
    for found in _VARIABLE.finditer(word):
        parts += [word[end : found.start()], Variable(found[1] or found[2] or found[3])]
        end = found.end()
    parts.append(word[end:])
    return [part for part in parts if part != ""]


def expanded(parts: Sequence[Part], known: Mapping[str, Sequence[Part]]) -> list[Part]:
    """The parts with the values of variables that `set` has made put in."""
    return joined(
        [inner for part in parts for inner in (known.get(part.name, [part]) if isinstance(part, Variable) else [part])]
    )


def joined(parts: Sequence[Part]) -> list[Part]:
    """The same with neighbouring texts in one."""
    result: list[Part] = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        else:
            result.append(part)
    return result


def header_of(variable: str) -> str | None:
    """The header that ``$http_…`` stands for."""
    if not variable.startswith("http_"):
        return None
    return "-".join(word.capitalize() for word in variable.removeprefix("http_").split("_"))


def as_value(parts: Sequence[Part], captures: frozenset[str]) -> str | None:
    """A header's value, or where a redirect leads; None if it has a variable that has no counterpart."""
    words = []
    for part in parts:
        if isinstance(part, str):
            words.append(escaped(part))
        elif part.name in captures:
            words.append(f"{{{part.name}}}")
        elif (fact := _FACTS.get(part.name)) is not None:
            words.append(fact)
        elif (header := header_of(part.name)) is not None:
            words.append(f"{{header:{header}}}")
        elif part.name != "is_args":
            return None
    return "".join(words)


def as_template(parts: Sequence[Part], captures: frozenset[str]) -> str | None:
    """A host or a path with captures; None if it has any other variable."""
    if any(isinstance(part, Variable) and part.name not in captures for part in parts):
        return None
    return "".join(escaped(part) if isinstance(part, str) else f"{{{part.name}}}" for part in parts)


def named_groups(regex: str) -> tuple[str, dict[str, str]]:
    """An expression whose groups all have names, and the name for each of ``$1`` to ``$9``.

    PCRE's other spellings of a named group become RE2's.
    """
    names: dict[str, str] = {}
    count = 0

    def name(found: re.Match[str]) -> str:
        nonlocal count
        if found[1] is None and found[2] is None and found[3] is None:
            return found[0]
        count += 1
        names[str(count)] = found[2] or found[3] or f"p{count}"
        return f"(?<{names[str(count)]}>"

    return _GROUP.sub(name, regex), names


def begins_with_slash(regex: str, group: str) -> bool:
    """Whether what a group matches surely begins with a slash."""
    found = re.search(rf"\(\?P?<{re.escape(group)}>\\?/", regex)
    return found is not None
