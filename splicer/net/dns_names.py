"""Names, types and codes in DNS messages (RFC 1035), those that a lookup of addresses needs.

With dnspython's, each edge had 2 MB of modules more, importlib.metadata, email and zipfile among them.
"""

from __future__ import annotations

from enum import IntEnum

_LONGEST_LABEL, _LONGEST_NAME = 63, 255  # bytes; a name counts its length bytes


class RdataType(IntEnum):
    """The type of a record."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    AAAA = 28


class Rcode(IntEnum):
    """A response code (IANA, DNS parameters)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    YXRRSET = 7
    NXRRSET = 8
    NOTAUTH = 9
    NOTZONE = 10
    DSOTYPENI = 11


def rcode_text(code: int) -> str:
    """A response code's name, or its number if it has none."""
    try:
        return Rcode(code).name
    except ValueError:
        return str(code)


def to_wire(name: str) -> bytes | None:
    """A name as it stands in a message; None: no such name can exist.

    Args:
        name: absolute, with or without the last dot.
    """
    try:
        labels = name.removesuffix(".").encode("ascii").split(b".")
    except UnicodeEncodeError:
        return None
    wire = b"".join(bytes((len(label),)) + label for label in labels if len(label) <= _LONGEST_LABEL) + b"\0"
    fits = all(0 < len(label) <= _LONGEST_LABEL for label in labels) and len(wire) <= _LONGEST_NAME
    return wire if fits else None


def to_text(wire: bytes) -> str:
    """A name from a message, without the last dot, for people.

    Args:
        wire: a whole name without pointers.
    """
    labels = []
    while wire[0]:
        labels.append(wire[1 : 1 + wire[0]].decode("ascii", "backslashreplace"))
        wire = wire[1 + wire[0] :]
    return ".".join(labels)
