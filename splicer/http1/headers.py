"""Field lines: which ones are forwarded, and how heads are written, with order and case kept.

h11 would write Host first and choose its own framing, so it only parses and frames bodies; heads are written here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from splicer.edits import FieldEdits
from splicer.http1.forwarded import Forwarding
from splicer.http1.lists import list_members
from splicer.http1.trace_headers import NAMES as TRACE_FIELDS
from splicer.http1.via import via
from splicer.model import Header, Headers, RequestHead

HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"})
_NEVER_NOMINATED = frozenset({b"content-length", b"host"})
_ASSERTED = {
    name.lower(): name
    for name in (
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"X-Real-IP",
        b"X-Request-ID",
        b"X-Forwarded-Client-Cert",
    )
}
# Never believed, not even from a trusted proxy: load balancers pass on what a client has written into it.
_ORIGINAL_URI = b"X-Original-URI"
_OURS = {*_ASSERTED, _ORIGINAL_URI.lower()}
_OWN_PREFIX = b"x-splicer-"
# Other fields that pods trust because a proxy usually sets them: the client's address, scheme and port, or even the
# path (Symfony, Zend and IIS).
_PROXYS_PREFIX = b"x-forwarded-"
_PROXYS = frozenset({b"forwarded", b"x-original-url", b"x-rewrite-url"})
# How the names begin that `_is_forged` looks for: it need not be asked of other ones.
_SUSPECT = frozenset(
    beginning
    for name in (*_OURS, *_PROXYS, _OWN_PREFIX, _PROXYS_PREFIX)
    for beginning in (name[:3], name[:3].replace(b"-", b"_"))
)
_SHORT = 64  # bytes of a Connection field whose meaning is remembered
_NOT_IN_TRAILERS = HOP_BY_HOP | _NEVER_NOMINATED | {b"trailer"}


def gather(headers: Headers, names: frozenset[bytes]) -> dict[bytes, list[bytes]]:
    """Collect all values of the named fields in one pass; `names` are in lower case, absent fields are left out."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        key = name.lower()
        if key in names:
            found.setdefault(key, []).append(value)
    return found


def forwarded_headers(headers: Headers, *, drop: frozenset[bytes] = frozenset()) -> list[Header]:
    """Leave out the hop-by-hop fields (RFC 9110 §7.6.1).

    Args:
        headers: the fields as received.
        drop: further names to leave out, in lower case.

    Returns:
        The other fields, in order, names in their original case. A Connection field that nominates Host or
        Content-Length is not obeyed: that would change the meaning of the message.
    """
    dropped = _hop_by_hop([value for name, value in headers if name.lower() == b"connection"], drop)
    return [header for header in headers if header[0].lower() not in dropped]


def _hop_by_hop(connection: list[bytes], drop: frozenset[bytes] = frozenset()) -> frozenset[bytes]:
    """The names of the fields that are not forwarded, in lower case.

    Args:
        connection: the values of the Connection fields.
        drop: further names.
    """
    nominated = b",".join(connection)
    return (_dropped if len(nominated) <= _SHORT else _dropped.__wrapped__)(nominated, drop)


# Nearly all Connection fields are one of a few.
@lru_cache(maxsize=64)
def _dropped(nominated: bytes, drop: frozenset[bytes]) -> frozenset[bytes]:
    return HOP_BY_HOP | drop | (frozenset(list_members([nominated])) - _NEVER_NOMINATED)


def forwarded_trailers(trailers: Iterable[Header]) -> list[Header]:
    """Leave out fields that no trailer may have: framing, routing, and those that a proxy asserts (RFC 9110 §6.5.1)."""
    return [
        (name, value)
        for name, value in trailers
        if name.lower() not in _NOT_IN_TRAILERS and not _is_forged(name.lower(), believed=False)
    ]


def serialize_fields(headers: Iterable[Header]) -> bytes:
    """Write field lines and the blank line."""
    return b"\r\n".join([*[b": ".join(header) for header in headers], b"\r\n"])


def serialize_request(method: str, target: str, headers: Iterable[Header]) -> bytes:
    """Write an HTTP/1.1 request head."""
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii") + serialize_fields(headers)


# Invariant: no field of the client's replaces a value that a proxy asserts, and the body has one framing. If the pod
# gets another target than the client has sent, it gets that one too: providers sign the URL that they call.
def request_for_pod(
    head: RequestHead,
    target: str,
    *,
    forwarding: Forwarding,
    protocol: str | None,
    extra: Headers = (),
    authority: str = "",
    close: bool = False,
    host: str = "",
    edits: FieldEdits | None = None,
    trace: Headers | None = None,
) -> bytes:
    """Write the complete head that a pod gets.

    Args:
        head: the client's.
        target: path and query for the pod.
        forwarding: the values of X-Forwarded-*, X-Real-IP and X-Request-ID; each replaces the client's own field or is
            added at the end. An empty value is not sent.
        protocol: the upgrade to ask for, or None.
        extra: fields added at the end.
        authority: Host for an HTTP/1.0 request that came without one.
        close: no other request follows on the pod's connection.
        host: Host in place of the client's; "": the client's.
        edits: the route's; they name no field that is the edge's own.
        trace: the fields with the request's place in a trace, instead of the client's; None: the client's go on.
    """
    replaced = frozenset[bytes]() if trace is None else TRACE_FIELDS
    asserted, dropped = forwarding.fields(), _hop_by_hop(head.values(b"connection"), replaced)
    named = (host or head.host or authority).encode("ascii")
    fields: list[Header] = []
    hostless = True
    for header in head.headers:
        key = header[0].lower()
        if key in dropped:
            continue
        if key == b"host":
            hostless = False
            fields.append((header[0], named))
        elif key[:3] not in _SUSPECT:  # nearly all
            fields.append(header)
        elif key in _ASSERTED:
            value = asserted.pop(key, b"")
            if value:
                fields.append((header[0], value))
        elif not _is_forged(key, believed=forwarding.believed):
            fields.append(header)
    if hostless:
        fields.insert(0, (b"Host", named))
    fields += [(_ASSERTED[key], ours) for key, ours in asserted.items() if ours]
    fields.append(via(head))
    if target != head.target:
        fields.append((_ORIGINAL_URI, head.target.encode("ascii")))
    fields += extra
    if trace is not None:
        fields += trace
    if edits is not None:
        fields = edits.apply(fields)
    if head.chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    if protocol is not None:
        fields += [(b"Connection", b"upgrade"), (b"Upgrade", protocol.encode("ascii"))]
    elif close:
        fields.append((b"Connection", b"close"))
    return serialize_request(head.method, target, fields)


def is_asserted(name: bytes) -> bool:
    """Whether only the edge gives pods the field of this name."""
    key = name.lower()
    return key in (b"host", b"via") or _is_forged(key, believed=False)


def _is_forged(key: bytes, *, believed: bool) -> bool:
    """Whether a pod could believe that a proxy has set this field, though none has.

    CGI and WSGI don't distinguish "_" from "-", so a name is judged with dashes; proxies write dashes themselves.

    Args:
        key: the name in lower case.
        believed: a trusted proxy sent it.
    """
    name = key.replace(b"_", b"-")
    if name.startswith(_OWN_PREFIX) or name in _OURS:
        return True
    return (name.startswith(_PROXYS_PREFIX) or name in _PROXYS) and not (believed and name == key)
