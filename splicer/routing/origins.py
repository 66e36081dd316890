"""The `origins` of a route and the Origin of a request (RFC 6454 §7).

A browser lets any page open a WebSocket to any host, with the user's cookies; the server must look at the Origin (RFC
6455 §10.2). Other clients may send any Origin, or none.
"""

from __future__ import annotations

import re

from splicer.model import RequestHead

_LABELS = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def foreign_origin(head: RequestHead, allowed: tuple[str, ...]) -> str | None:
    """The first Origin of a request that is not allowed; None if all are, or if it has none.

    Args:
        head: the request.
        allowed: in lower case; "https://*.suffix" stands for every host below the suffix, at any depth.
    """
    for value in head.values(b"origin"):
        origin = value.decode("latin-1")
        if not any(_is(wanted, origin.lower()) for wanted in allowed):
            return origin
    return None


def _is(wanted: str, origin: str) -> bool:
    scheme, star, suffix = wanted.partition("*")
    if not star:
        return origin == wanted
    below = origin.startswith(scheme) and origin.endswith(suffix)
    return below and _LABELS.fullmatch(origin[len(scheme) : len(origin) - len(suffix)]) is not None
