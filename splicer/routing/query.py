"""The parameters in a query, as HTML forms write them (https://url.spec.whatwg.org/#urlencoded-parsing)."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import unquote_to_bytes


def first_values(query: str, names: Container[bytes]) -> dict[bytes, bytes]:
    """The first value of each of these parameters that the query has; "name" alone has the value "".

    Args:
        query: as received: visible ASCII.
        names: decoded; other parameters are skipped.
    """
    found: dict[bytes, bytes] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        key = _decoded(name)
        if pair and key in names and key not in found:
            found[key] = _decoded(value)
    return found


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " ")) if "%" in text or "+" in text else text.encode()
