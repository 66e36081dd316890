"""The Via field: it marks requests that passed through splicer, and shows loops (RFC 9110 §7.6.3).

A gateway must add Via to requests and may add it to responses; it would be of no use there, so splicer doesn't.
"""

from __future__ import annotations

from splicer.http1.lists import list_members
from splicer.model import Header, RequestHead

MOST_PASSES = 5  # passes of one request through splicer: an edge in front of a region's edge makes two
_PSEUDONYM = b"splicer"
_PASSES: dict[str, Header] = {
    version: (b"Via", b"%s %s" % (version.encode("ascii"), _PSEUDONYM)) for version in ("1.0", "1.1")
}


def is_loop(head: RequestHead) -> bool:
    """Whether a request has passed through splicer so often that it must be in a loop; only our name in Via counts."""
    came = head.values(b"via")
    if not came:
        return False
    values = [value.lower() for value in came]
    if sum(value.count(_PSEUDONYM) for value in values) < MOST_PASSES:  # a cheap check that nearly always suffices
        return False
    return sum(member.split(maxsplit=2)[1:2] == [_PSEUDONYM] for member in list_members(values)) >= MOST_PASSES


def via(head: RequestHead) -> Header:
    """The field for this pass; it goes after those of earlier passes."""
    return _PASSES[head.version]
