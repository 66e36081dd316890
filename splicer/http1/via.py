"""Via: that a request came through here, and how often it has (RFC 9110 §7.6.3).

A gateway must say so of requests, and may of responses: nothing is gained there, so ours don't.
"""

from __future__ import annotations

from splicer.http1.lists import list_members
from splicer.model import Header, RequestHead

MOST_PASSES = 5  # of one request: an edge in front of a region's edge is two
_PSEUDONYM = b"splicer"


def is_loop(head: RequestHead) -> bool:
    """Whether a request has come through here so often that its way leads back; other names in Via don't count."""
    values = [value.lower() for value in head.values(b"via")]
    if sum(value.count(_PSEUDONYM) for value in values) < MOST_PASSES:  # far cheaper, and true as a rule
        return False
    return sum(member.split(maxsplit=2)[1:2] == [_PSEUDONYM] for member in list_members(values)) >= MOST_PASSES


def via(head: RequestHead) -> Header:
    """The field that tells of this pass, behind those of earlier ones."""
    return b"Via", b"%s %s" % (head.version.encode("ascii"), _PSEUDONYM)
