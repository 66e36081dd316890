"""A path's normal form, which selects its route, and the mapping from its parts back to the received bytes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping

from splicer.errors import BadRequest
from splicer.patterns import Span

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3
_NEVER_PLAIN = frozenset("#%?\\")  # a path has these only encoded
_DIGITS = [high + low for high in "0123456789abcdefABCDEF" for low in "0123456789abcdefABCDEF"]


def _table(plain: Callable[[str], bool]) -> dict[str, str]:
    """The replacement of each escape, by its two digits: a plain character, or the escape in upper case (§6.2.2.1)."""
    characters = {digits: chr(int(digits, 16)) for digits in _DIGITS}
    return {digits: char if plain(char) else f"%{digits.upper()}" for digits, char in characters.items()}


_NORMAL = _table(_UNRESERVED.__contains__)
_DECODED = _table(lambda char: "!" <= char <= "~" and char not in _NEVER_PLAIN)
_SLASHES = re.compile("//++")
_SHORTENED = re.compile("//++|%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AFaf]|7[0-9AEae])")


def normal_form(path: str) -> str:
    """The one spelling of all equivalent paths: unreserved characters decoded, slashes merged; in linear time.

    An encoded slash separates no segments (RFC 3986 §2.2), and stays encoded.
    """
    return _spelt(path, _NORMAL) if "%" in path or "//" in path else path


def decoded_form(normal: str) -> str:
    """A normal form as a server reads it that decodes the whole path first: slashes, "@" and so on included."""
    return _spelt(normal, _DECODED)


def _spelt(path: str, table: Mapping[str, str]) -> str:
    first, *others = path.split("%")
    decoded = first + "".join([table[other[:2]] + other[2:] for other in others])
    return _SLASHES.sub("/", decoded) if "//" in decoded else decoded


def cut_out(path: str, spans: Mapping[str, Span]) -> dict[str, str]:
    """Map spans of a path's normal form to the matching slices of the received path.

    Invariant: the normal form of each slice is the text at its span of the path's normal form; slices of adjacent spans
    are adjacent.

    Args:
        path: as received: ASCII, and "%" only before two digits.
        spans: by name; (-1, -1) means nowhere, and gives "".

    Raises:
        BadRequest: a span begins or ends inside an escape: it is undefined to which side the encoded byte belongs.
    """
    if not ("%" in path or "//" in path):
        return {name: path[start:end] for name, (start, end) in spans.items()}
    ends, raw_ends, surplus = [0], [0], 0
    for shortened in _SHORTENED.finditer(path):
        start, end = shortened.span()
        surplus += end - start - 1
        ends.append(end - surplus)
        raw_ends.append(end)

    def back(place: int) -> int:
        last = bisect_right(ends, place) - 1
        raw = raw_ends[last] + place - ends[last]
        if "%" in path[max(0, raw - 2) : raw]:
            raise BadRequest("a capture of the route begins or ends inside an encoded byte of the path")
        return raw

    return {name: path[back(start) : back(end)] if start >= 0 else "" for name, (start, end) in spans.items()}
