"""The request target: its form, and whether its path may be forwarded (RFC 9112 §3.2)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from splicer.errors import BadRequest

_AUTHORITY = re.compile(
    r"(?:(?:[A-Za-z0-9\-._~!$&'()*+;=]++|%[0-9A-Fa-f]{2})++|\[([0-9A-Fa-f:.]{2,45}+)\])(?::([0-9]{0,5}))?"
)
_ABSOLUTE = re.compile(r"(?:http|ws)s?://([^/?]*+)([^?]*+)(?:\?(.*+))?", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![2-689a-f][0-9a-f]|7[0-9a-e])(?:[0-9a-f]{2})?+")


def parse_target(method: str, target: str) -> tuple[str, str | None, str | None]:
    """Split a request target; percent-encoding is left as it is.

    A client may send the ws or wss URI that it dials: these schemes are taken as http and https (RFC 6455 §3).

    Args:
        method: of the request; only OPTIONS may ask for ``*``.
        target: visible ASCII, in any form but the authority-form.

    Returns:
        The path, the query (None without "?"), and the authority of an absolute-form target (else None).

    Raises:
        BadRequest: its form is not allowed for this method, or its path must not be forwarded.
    """
    if "#" in target:
        raise BadRequest("fragment in the request target")
    authority = None
    if target[0] == "/":
        path, mark, rest = target.partition("?")
        query = rest if mark else None
    elif target == "*" and method == "OPTIONS":
        return "*", None, None
    else:
        path, query, authority = _parse_absolute(method, target)
    check_path(path)
    return path, query, authority


def _parse_absolute(method: str, target: str) -> tuple[str, str | None, str]:
    parts = _ABSOLUTE.fullmatch(target)
    if parts is None:
        raise BadRequest("the request target is neither a path nor an http URI")
    authority, path, query = parts.groups()
    if not is_authority(authority):
        raise BadRequest("bad authority in the request target")
    if not path:
        # RFC 9112 §3.2.4: the last proxy turns an OPTIONS for a whole server back into "*".
        path = "*" if method == "OPTIONS" and query is None else "/"
    return path, query, authority


def check_path(path: str) -> None:
    r"""Refuse a path that a pod might read as another one.

    Dot segments are searched for with %2e and %2f decoded, so that no ``/..%2f`` leads out of a route's prefix; an
    encoded slash that is no part of one is left alone.

    Raises:
        BadRequest: a dot segment, a backslash, an encoded control character, or ``%`` without two digits.
    """
    decoded = path.lower()
    if "%" in decoded:
        if bad := _BAD_ESCAPE.search(decoded):
            raise BadRequest(f"{'bad percent-encoding' if bad[0] == '%' else 'encoded control character'} in the path")
        decoded = decoded.replace("%2f", "/").replace("%2e", ".").replace("%5c", "\\")
    if "\\" in decoded:
        raise BadRequest("backslash in the path")
    if "/." in decoded and ("/./" in (closed := decoded + "/") or "/../" in closed):
        raise BadRequest("dot segment in the path")


def is_authority(text: str) -> bool:
    """Whether `text` is a non-empty host with an optional port (RFC 3986 §3.2.2, §3.2.3).

    User information is not allowed, nor a comma: two Host values joined into one must not be accepted.
    """
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        return False
    address, port = parts.groups()
    if port and int(port) > 65535:
        return False
    return address is None or _is_ipv6(address)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
