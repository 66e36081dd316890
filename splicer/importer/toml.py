"""Writing a draft as a routing.toml with comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from splicer.config.reader import toml_key
from splicer.config.routes import ROUTE
from splicer.importer.draft import Draft, Named, RouteDraft, Table

_WIDTH = 110
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def written(draft: Draft) -> str:
    """The text of a draft.

    Args:
        draft: each of its values is one that TOML has.
    """
    blocks = [f"# {draft.title}"]
    blocks += [_block(f"[{name}]", table) for name, table in draft.sections.items() if table.values]
    blocks += [_block(f"[tls.{toml_key(name)}]", table) for name, table in draft.tls.items()]
    blocks += [_block(f"[upstreams.{toml_key(name)}]", table) for name, table in draft.upstreams.items()]
    blocks += [_route(route) for route in draft.routes]
    blocks += [_block("[[errors]]", table) for table in draft.errors]
    blocks += [_block("[[passthrough]]", table) for table in draft.passthrough]
    return "\n\n".join(blocks) + "\n"


def _route(route: RouteDraft) -> str:
    return _block("[[routes]]", route, {"name": route.name})


def _block(heading: str, table: Table, first: Mapping[str, Any] | None = None) -> str:
    comments = list(_comments(table)) if isinstance(table, Named) else []
    order = tuple(ROUTE.keys) if isinstance(table, RouteDraft) else ()
    values = {**(first or {}), **table.as_toml(order)}
    inner = {key: value for key, value in values.items() if isinstance(value, dict) and _is_long(key, value)}
    lines = [f"{_key(key)} = {value_text(value)}" for key, value in values.items() if key not in inner]
    for key, value in inner.items():
        lines += ["", f"[{heading.strip('[]')}.{_key(key)}]"]
        lines += [f"{_key(name)} = {value_text(item)}" for name, item in value.items()]
    return "\n".join([*comments, heading, *lines])


def _is_long(key: str, value: Mapping[str, Any]) -> bool:
    return len(key) + len(value_text(value)) > _WIDTH


def _comments(table: Named) -> Iterator[str]:
    for comment in (*([f"from {table.origin}"] if table.origin else []), *table.comments):
        yield from (f"# {line}" for line in textwrap.wrap(comment, _WIDTH, break_long_words=False))


def value_text(value: Any) -> str:
    """A value in TOML's notation.

    Args:
        value: a string, integer, boolean, list or table.
    """
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _string(value.replace("${", "$${"))
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_key(key)} = {value_text(item)}' for key, item in value.items())} }}"
        case _:
            return str(value)


def _key(key: str) -> str:
    return key if key.isprintable() and key.isascii() and toml_key(key) == key else _string(key)


def _string(text: str) -> str:
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return '"' + "".join(_ESCAPES.get(char) or _visible(char) for char in text) + '"'


def _visible(char: str) -> str:
    return char if char.isprintable() else f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
