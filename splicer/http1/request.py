"""Parsing one request head: raw bytes in; a `RequestHead` and the h11 connection that frames the answer out."""

from __future__ import annotations

import re

import h11

from splicer.errors import BadRequest, HeadTooLarge, MethodNotAllowed
from splicer.http1.head import (
    FIELD_LINES,
    LEADING_LINES,
    TOKEN,
    FramingFields,
    body_framing,
    check_field_count,
    check_line_length,
    field_fault,
    find_head_end,
    forbidden_byte,
    framing_fields,
)
from splicer.http1.lists import check_lists
from splicer.http1.target import is_authority, parse_target
from splicer.http1.version_error import Http2NotSpoken
from splicer.model import RequestHead

_HEAD = re.compile(
    LEADING_LINES
    + rb"((" + TOKEN + rb") ([\x21-\x7e]++) HTTP/1\.([01])\r\n" + FIELD_LINES + rb"\r\n)"
)  # fmt: skip
_REQUEST_LINE = re.compile(LEADING_LINES + rb"(" + TOKEN + rb") ([^\r\n ]++) HTTP/[0-9]\.[0-9]\r?\n")
_NOT_VISIBLE = re.compile(rb"[^\x21-\x7e]")
_VERSION = re.compile(rb"HTTP/1\.[01]")
_METHOD = re.compile(TOKEN)
_ALLOWED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_MOST_LOGGED = 1024  # bytes
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # the part of it that looks like a head (RFC 9113 §3.4)
_REFUSED = frozenset({b"CONNECT", b"TRACE"})


def parse_request(raw: bytes | bytearray, *, limit: int) -> tuple[RequestHead, h11.Connection]:
    """Check and parse a request head (RFC 9112 §2.2 to §6, RFC 9110 §7.2).

    Args:
        raw: exactly one head, to its blank line inclusive; a few empty lines may precede it.
        limit: the most bytes it may have.

    Returns:
        The head, and an h11 server connection that has consumed it, to frame the answer; that connection never gets
        the request's body, which `http1.body` reads.

    Raises:
        RequestLineTooLong: its first line is over `LONGEST_LINE`.
        HeadTooLarge: it is over the limit, has more than `MOST_FIELDS` fields, or more than `MOST_MEMBERS` in a list.
        MethodNotAllowed: CONNECT or TRACE.
        Http2NotSpoken: it is the preface of HTTP/2.
        BadRequest: anything else that is not one unambiguous HTTP/1.x head.
    """
    check_line_length(raw)
    if len(raw) > limit:
        raise HeadTooLarge(f"request head over {limit} bytes")
    check_field_count(raw, HeadTooLarge)
    accepted = _HEAD.fullmatch(raw)
    if accepted is None:
        if raw == _HTTP2_PREFACE:
            raise Http2NotSpoken("the preface of HTTP/2, which is not spoken here")
        raise BadRequest(_diagnose(raw))
    message, method, target, minor = accepted.groups()

    fields = framing_fields(message)
    check_lists(message, HeadTooLarge)
    length, chunked = body_framing(fields, minor, BadRequest)
    host = _host(fields, minor)
    if method in _REFUSED:
        raise MethodNotAllowed(_ALLOWED)
    name, whole = method.decode("ascii"), target.decode("ascii")
    path, query, authority = parse_target(name, whole)

    connection, event = _feed_h11(message, limit)
    head = RequestHead(
        method=name,
        target=whole,
        path=path,
        query=query,
        host=host if authority is None else authority,
        version="1.1" if minor == b"1" else "1.0",
        headers=tuple(event.headers.raw_items()),
        content_length=length,
        chunked=chunked,
    )
    return head, connection


def request_line(raw: bytes | bytearray) -> tuple[str, str] | None:
    r"""Read the request line of a refused head, for the log.

    Args:
        raw: the head, or the part of it that was received.

    Returns:
        The method, and the first KiB of the target without its query (which may hold secrets), with bytes other than
        visible ASCII as ``\xNN``; None when there is no complete request line.
    """
    line = _REQUEST_LINE.match(raw)
    if line is None:
        return None
    path = line[2].partition(b"?")[0][:_MOST_LOGGED]
    return line[1].decode("ascii"), _NOT_VISIBLE.sub(lambda byte: b"\\x%02x" % ord(byte[0]), path).decode("ascii")


def _host(fields: FramingFields, minor: bytes) -> str:
    hosts = fields.get(b"host", [])
    if not hosts and minor == b"0":
        return ""
    if len(hosts) != 1:
        raise BadRequest(f"{len(hosts) or 'no'} Host fields")
    host = hosts[0].decode("latin-1")
    if not is_authority(host):
        raise BadRequest("bad Host")
    return host


def _feed_h11(message: bytes, limit: int) -> tuple[h11.Connection, h11.Request]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limit)
    connection.receive_data(message)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(str(error)) from error.with_traceback(None)  # its frames hold the error: a cycle
    if not isinstance(event, h11.Request):
        raise BadRequest("incomplete request head")
    return connection, event


def _diagnose(raw: bytes | bytearray) -> str:
    fault = forbidden_byte(raw)
    if fault:
        return fault
    if find_head_end(raw) != len(raw):
        return "not exactly one request head"
    line, *_ = raw.lstrip(b"\r\n").partition(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]):
        return "malformed request line"
    if not _VERSION.fullmatch(parts[2]):
        return f"version {bytes(parts[2][:20])!r} is neither HTTP/1.0 nor HTTP/1.1"
    if not parts[1] or not parts[1].isascii():
        return "request target is not visible ASCII"
    return field_fault(raw)
