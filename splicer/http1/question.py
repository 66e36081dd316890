"""The question to an authorizer: a GET with the fields of the client's request, without its body and its upgrade."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from splicer.http1.forwarded import Forwarding
from splicer.http1.headers import HOP_BY_HOP, request_for_pod
from splicer.model import Header, Headers, RequestHead

_METHOD = b"X-Original-Method"
_URI = b"X-Original-URI"
# Fields about a body, a part of a resource or a copy in a cache: none of them is what the question asks for.
_ABOUT_MORE = frozenset({b"expect", b"max-forwards", b"range", b"trailer"})
_FAMILIES = (b"content-", b"if-", b"sec-websocket-")
_ALWAYS = frozenset({b"connection", b"host"})  # the first says which of the other fields are for the edge alone


def is_sent(name: str) -> bool:
    """Whether a field of the client's can be a part of the question."""
    key = _same(name.encode())
    return key not in HOP_BY_HOP | _ABOUT_MORE and not key.startswith(_FAMILIES) and key != _METHOD.lower()


def question(head: RequestHead, path: str, send: Iterable[str] | None) -> RequestHead:
    """The question about a request, without what the edge asserts.

    Args:
        head: the client's.
        path: the authorizer's.
        send: the names of the client's fields that go along; None: all that can.
    """
    chosen = None if send is None else {name.lower().encode() for name in send} | _ALWAYS
    fields = tuple(
        header
        for header in head.headers
        if (key := header[0].lower()) in _ALWAYS or ((chosen is None or key in chosen) and is_sent(key.decode("ascii")))
    )
    return evolve(head, method="GET", headers=fields, content_length=None, chunked=False)


# The target is told in its origin form: an authorizer that looks at the beginning of the path must not be misled by
# "http://host/path", which a client may send as well (RFC 9112 §3.2.2).
def request_for_authorizer(
    head: RequestHead, asked: RequestHead, path: str, forwarding: Forwarding, named: str, trace: Headers | None = None
) -> bytes:
    """Write the whole question.

    Args:
        head: the client's.
        asked: its `question`.
        path: the authorizer's.
        forwarding: see `request_for_pod`.
        named: Host for an HTTP/1.0 request that came without one.
        trace: see `request_for_pod`.
    """
    target = head.path if head.query is None else f"{head.path}?{head.query}"
    extra = [(_METHOD, head.method.encode("ascii"))]
    if target == path:
        extra.append((_URI, target.encode("ascii")))
    return request_for_pod(
        evolve(asked, target=target),
        path,
        forwarding=forwarding,
        protocol=None,
        extra=tuple(extra),
        authority=named,
        close=True,
        trace=trace,
    )


def without(head: RequestHead, names: Iterable[str]) -> RequestHead:
    """A request without these fields, however their dashes are spelt: CGI and WSGI don't tell "_" from "-"."""
    dropped = {_same(name.encode()) for name in names}
    return evolve(head, headers=tuple(header for header in head.headers if _same(header[0]) not in dropped))


def chosen(headers: Headers, names: Iterable[str]) -> tuple[Header, ...]:
    """The fields of an answer with these names, in order."""
    wanted = {name.lower().encode() for name in names}
    return tuple(header for header in headers if header[0].lower() in wanted)


def _same(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")
