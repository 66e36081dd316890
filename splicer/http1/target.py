"""The request target: which form it has, and whether its path may be forwarded (RFC 9112 §3.2)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from splicer.errors import BadRequest

_AUTHORITY = re.compile(r"(?:(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})++|\[([0-9A-Fa-f:.]++)\])(?::([0-9]{0,5}))?")
_ABSOLUTE = re.compile(r"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_SUSPECT = re.compile(r"%|\\|/\.")
_PATH_FAULTS = (
    (re.compile(r"\\|%5c", re.IGNORECASE), "backslash in the path"),
    (re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE), "encoded control character in the path"),
    (re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE), "bad percent-encoding in the path"),
    (re.compile(r"(?:/|%2f)(?:\.|%2e){1,2}(?=/|%2f|\Z)", re.IGNORECASE), "dot segment in the path"),
)


def parse_target(method: str, target: str) -> tuple[str, str | None, str | None]:
    """Take a request target apart, percent-encoding untouched.

    Args:
        method: of the request; only OPTIONS may ask for ``*``.
        target: visible ASCII, in any form but the authority-form.

    Returns:
        The path, the query (None without "?"), and the authority of an absolute-form target (else None).

    Raises:
        BadRequest: it has no form that this method may use, or its path must not be forwarded.
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

    Dot segments count with %2e and %2f decoded, so that no ``/..%2f`` climbs out of a route's prefix; an encoded
    slash that forms none is left alone.

    Raises:
        BadRequest: a dot segment, a backslash, an encoded control character, or ``%`` without two digits.
    """
    if not _SUSPECT.search(path):
        return
    for pattern, fault in _PATH_FAULTS:
        if pattern.search(path):
            raise BadRequest(fault)


def is_authority(text: str) -> bool:
    """Whether `text` is a host, not empty, with an optional port (RFC 3986 §3.2.2, §3.2.3).

    User information is none of it, nor a comma: two values of a joined Host must not pass for one.
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
