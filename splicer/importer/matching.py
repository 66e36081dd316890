"""Matches that Envoy, Istio and the Gateway API have in common, as keys of a route."""

from __future__ import annotations

from typing import Any

from splicer.importer.regex import literal


def whole(regex: str) -> str:
    """The expression for a whole text: Envoy matches all of it, splicer searches."""
    return f"^(?:{regex})$" if "|" in regex or not regex.startswith("^") else f"{regex.removesuffix('$')}$"


def without_case(text: str, *, prefix: bool) -> str:
    """An expression for a path without regard to case."""
    return f"(?i)^{literal(text)}" + ("" if prefix else "$")


def elements(prefix: str) -> str:
    """An expression for a path and what lies below it: "/a" is not "/ab"."""
    return f"^{literal(prefix.rstrip('/'))}(?:/|$)"


def condition(kind: str, text: str, *, ignore_case: bool = False) -> Any:
    """A condition of `headers` or `query`; None: there is no counterpart.

    Args:
        kind: "exact", "prefix", "suffix", "contains", "regex" or "present".
        text: what is compared.
        ignore_case: whether case does not count.
    """
    case = "(?i)" if ignore_case else ""
    match kind:
        case "present":
            return True
        case "exact":
            return {"regex": f"{case}^{literal(text)}$"} if ignore_case or not text else text
        case "prefix":
            return {"regex": f"{case}^{literal(text)}"} if ignore_case else {"prefix": text}
        case "suffix":
            return {"regex": f"{case}{literal(text)}$"}
        case "contains":
            return {"regex": f"{case}{literal(text)}"}
        case "regex":
            return {"regex": whole(text)}
    return None


def numbered_groups(regex: str, replacement: str) -> tuple[str, str] | None:
    r"""An expression whose groups have names, and a rewrite with them for ``\1``; None: it names another group.

    Args:
        regex: an RE2 expression.
        replacement: with ``\0`` to ``\9``.
    """
    from splicer.importer.nginx.values import named_groups

    named, names = named_groups(regex)
    words = []
    position = 0
    while position < len(replacement):
        char = replacement[position]
        following = replacement[position + 1 : position + 2]
        if char == "\\" and following.isdecimal():
            if following not in names:
                return None
            words.append(f"{{{names[following]}}}")
            position += 2
        else:
            words.append(char * 2 if char in "{}" else char)
            position += 1
    return named, "".join(words)
