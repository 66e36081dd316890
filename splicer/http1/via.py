"""The Via field: it marks requests that passed through splicer, and shows loops (RFC 9110 §7.6.3).

A gateway must add Via to requests and may add it to responses; it would be of no use there, so splicer doesn't.
"""

from __future__ import annotations

from splicer.http1.lists import list_members
from splicer.model import Header, RequestHead

MOST_PASSES = 5  # passes of one request through splicer: an edge in front of a region's edge makes two
_PSEUDONYM = b"splicer"


def is_loop(head: RequestHead) -> bool:
    """Whether a request has passed through splicer so often that it must be in a loop; only our name in Via counts."""
    values = [value.lower() for value in head.values(b"via")]
    if sum(value.count(_PSEUDONYM) for value in values) < MOST_PASSES:  # a cheap check that nearly always suffices
        return False
    return sum(member.split(maxsplit=2)[1:2] == [_PSEUDONYM] for member in list_members(values)) >= MOST_PASSES


def via(head: RequestHead) -> Header:
    """The field for this pass; it goes after those of earlier passes."""
    return b"Via", b"%s %s" % (head.version.encode("ascii"), _PSEUDONYM)
