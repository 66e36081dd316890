"""Measure the cost of the worst input from outside: microseconds for a KiB, by parser.

    python -m bench.parsers [--all] [--seconds 0.2]

Each parser reads input that is cheap to send and expensive to read, of the largest size allowed, in the pieces in which
the session passes it: heads in pieces of 4 KiB, with all that is done before a pod is dialled. Figures are the minimum
of many runs; without `--all` only the worst input of each parser is shown. tests/bench/test_parsers.py checks that the
work grows no faster than its input, by counting steps, not time.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_network
from itertools import groupby

from attrs import frozen

from bench.arguments import Parser
from splicer.admin.dispatch import Page, Request
from splicer.admin.request import parse_body, read_query
from splicer.config.load import load
from splicer.errors import SplicerError
from splicer.http1.body import EndOfBody, request_body
from splicer.http1.forwarded import forwarding
from splicer.http1.head import LONGEST_LINE, check_partial, find_head_end
from splicer.http1.headers import request_for_pod
from splicer.http1.request import parse_request, request_line
from splicer.http1.response import ResponseParser
from splicer.http1.target import parse_target
from splicer.http1.upgrade import wanted_upgrade
from splicer.http1.writer import ResponseWriter
from splicer.model import RequestHead, Respond
from splicer.net.dns_names import RdataType, to_wire
from splicer.net.dns_wire import Query, make_query, read_response
from splicer.net.stream import HEAD_READ_BYTES, READ_BYTES
from splicer.routing.rewrite import target_path
from splicer.routing.table import RouteTable
from splicer.vault.protocol import keys

KIB = 1024
_HEAD = 32 * KIB  # the default of limits.head_bytes
_MESSAGE = 64 * KIB
_TRUSTED = (ip_network("10.0.0.0/8"),)
_TABLE = RouteTable(
    load(
        r"""
[upstreams.pod]
address = "{pod}.pods.test:80"

[[routes]]
name = "bench"
regex = '^/bench/(?<pod>[^/]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "{rest}"
""",
        environ={},
    ).routes
)


@frozen
class Input:
    """One input of one parser.

    Args:
        parser: its name.
        name: of the input.
        most: its largest size in bytes.
        make: makes an input of about the given number of bytes.
        read: reads it; may refuse it.
    """

    parser: str
    name: str
    most: int
    make: Callable[[int], bytes]
    read: Callable[[bytes], object]

    def run(self, data: bytes) -> None:
        """Read it, to the end or to a refusal."""
        with suppress(SplicerError, ValueError):
            self.read(data)


# ---- parsers ----


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _request_in_pieces(data: bytes) -> None:
    buffer, searched = bytearray(), 0
    for piece in _pieces(data, HEAD_READ_BYTES):
        buffer += piece
        find_head_end(buffer, searched)
        check_partial(buffer, _HEAD, searched)
        searched = len(buffer)


def _request(data: bytes) -> None:
    try:
        head, _ = parse_request(data, limit=_HEAD)
    except SplicerError:
        request_line(data)
        raise
    origin = forwarding(head, "10.0.0.1", _TRUSTED, "an id")
    wanted_upgrade(head, ("websocket",))
    request_for_pod(head, "/", forwarding=origin, protocol=None)


def _target(data: bytes) -> None:
    parse_target("GET", data.decode("ascii"))


def _route(data: bytes) -> None:
    path = data.decode("ascii")
    target_path(_TABLE.match("GET", "edge.test", path), path, None)


def _body(data: bytes) -> None:
    reader = request_body(_requested(b"Transfer-Encoding: chunked"), _HEAD)
    for piece in _pieces(data, READ_BYTES):
        reader.feed(piece)
        while reader.read():
            pass


def _answer(data: bytes) -> None:
    head, server = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", limit=_HEAD)
    parser, writer = ResponseParser(head, _HEAD), ResponseWriter(server, head)
    for piece in _pieces(data, HEAD_READ_BYTES):
        parser.feed(piece)
        while (answer := parser.next_head()) is not None:
            if answer.status < 200:
                writer.informational(answer.status, answer.reason, answer.headers)
                continue
            writer.head(answer.status, answer.reason, answer.headers, close=False)
            return


def _answer_body(data: bytes) -> None:
    parser = ResponseParser(_requested(), _HEAD)
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.next_head()
    for piece in _pieces(data, READ_BYTES):
        parser.feed(piece)
        while (read := parser.next_body()) is not None and not isinstance(read, EndOfBody):
            pass


def _requested(*fields: bytes) -> RequestHead:
    return parse_request(b"\r\n".join((b"POST / HTTP/1.1", b"Host: a", *fields, b"", b"")), limit=_HEAD)[0]


async def _never(_: Request) -> Respond:
    raise NotImplementedError


_PAGE = Page(_never, frozenset({"a"}), frozenset({"a"}))


def _admin_query(data: bytes) -> None:
    read_query(RequestHead("GET", "/", "/", data.decode("ascii"), "a", "1.1", ()), _PAGE)


def _admin_body(data: bytes) -> None:
    parse_body(data, _PAGE)


_QUERY = make_query(to_wire("pod-0.example.") or b"", RdataType.A, None)
_ASKED = Query(b"\0\1" + _QUERY.wire[2:], _QUERY.question, RdataType.A)


def _dns(data: bytes) -> None:
    read_response(data, _ASKED)


# ---- inputs ----


def _filled(before: bytes, unit: bytes, after: bytes = b"") -> Callable[[int], bytes]:
    """Repeat a unit until the whole is about that long."""
    return lambda size: before + unit * max(1, (size - len(before) - len(after)) // len(unit)) + after


def _fields(size: int) -> bytes:
    """The largest number of fields that a head may have."""
    value = b"v" * (size // 128 - 8)
    return _START + b"".join(b"a%03d: %s\r\n" % (number, value) for number in range(126)) + b"\r\n"


def _message(record: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A message full of records for the requested name."""

    def make(size: int) -> bytes:
        count = (size - len(_ASKED.wire)) // len(record(0))
        head = b"\0\1" + struct.pack("!5H", 0x8180, 1, count, 0, 0)
        return head + _ASKED.wire[12:] + b"".join(map(record, range(count)))

    return make


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def _label(number: int) -> bytes:
    return b"\x04%04d\xc0\x0c" % number


_START = b"GET /bench/p/ HTTP/1.1\r\nHost: a\r\n"
_STATUS = b"HTTP/1.1 200 OK\r\n"
_LONG_CHUNK = b"1;" + b"x" * 990 + b"\r\nx\r\n"

INPUTS = (
    *(
        Input("request head in pieces", name, _HEAD, _filled(before, unit), _request_in_pieces)
        for name, before, unit in (
            ("a long value", _START + b"X: ", b"x"),
            ("short fields", _START, b"a:\r\n"),
            ("a request line without end", b"G", b"G"),
        )
    ),
    *(
        Input("request head", name, _HEAD, _filled(before, unit, after + b"\r\n\r\n"), _request)
        for name, before, unit, after in (
            ("a long value", _START + b"X: ", b"x", b""),
            ("a value of short words", _START + b"X: ", b"x ", b"x"),
            ("X-Forwarded-For", _START + b"X-Forwarded-For: ", b"10.0.0.1,", b""),
            ("X-Forwarded-Proto", _START + b"X-Forwarded-Proto: ", b"a,", b""),
            ("Connection", _START + b"Upgrade: a\r\nConnection: upgrade", b",a", b""),
            ("a host of escapes", b"GET / HTTP/1.1\r\nHost: ", b"%41", b""),
            ("a NUL at its end", _START + b"X: ", b"x", b"\0"),
            ("more fields than allowed", _START, b"a:\r\n", b"a:"),
        )
    ),
    Input(
        "request head",
        "a target of other bytes",
        LONGEST_LINE,
        _filled(b"GET /", b"\x80", b" HTTP/1.1\r\n\r\n"),
        _request,
    ),
    Input("request head", "all fields that are allowed", _HEAD, _fields, _request),
    *(
        Input(parser, unit.decode(), LONGEST_LINE, _filled(b"/bench/p/", unit), read)
        for parser, read in (("request target", _target), ("route and rewrite", _route))
        for unit in (b"..a/", b"/.a", b"%41", b"%2f", b"%2e%2a", b"//", b"a")
    ),
    *(
        Input(parser, name, _HEAD, _filled(before, unit, after), read)
        for parser, read in (("request body", _body), ("answer's body", _answer_body))
        for name, before, unit, after in (
            ("chunks of one byte", b"", b"1\r\nx\r\n", b""),
            ("long extensions", b"", _LONG_CHUNK, b""),
            ("a size without end", b"", b"0", b""),
            ("more trailers than allowed", b"0\r\n", b"a:\r\n", b"\r\n"),
            ("a long trailer", b"0\r\na:", b"x ", b"x\r\n\r\n"),
        )
    ),
    *(
        Input("answer's head", name, _HEAD, _filled(before, unit, after), _answer)
        for name, before, unit, after in (
            ("a long value", _STATUS + b"X: ", b"x", b""),
            ("a value of short words", _STATUS + b"X: ", b"x ", b"x\r\n\r\n"),
            ("Connection", _STATUS + b"Connection: ", b"a,", b"\r\n\r\n"),
            ("a length said often", _STATUS + b"Content-Length: 5", b",5", b"\r\n\r\n"),
            ("informational answers", b"", b"HTTP/1.1 103 E\r\n\r\n", b""),
            ("short fields", _STATUS, b"a:\r\n", b""),
        )
    ),
    *(
        Input("name server's answer", name, _MESSAGE, _message(record), _dns)
        for name, record in (
            ("addresses", lambda number: _record(b"\xc0\x0c", RdataType.A, struct.pack("!I", number))),
            ("aliases", lambda number: _record(_label(number), RdataType.CNAME, _label(number + 1))),
            ("other types", lambda number: _record(b"\0", 1000 + number % 30_000, b"")),
            ("names of short labels", lambda number: _record(b"\1a" * 120 + b"\0", RdataType.A, b"abcd")),
        )
    ),
    Input("admin's query", "parameters", LONGEST_LINE, _filled(b"", b"a=&"), _admin_query),
    Input("admin's query", "escapes", LONGEST_LINE, _filled(b"a=", b"%41"), _admin_query),
    Input("admin's body", "lists in a list", _MESSAGE, _filled(b'{"a":[[]', b",[]", b"]}"), _admin_body),
    Input("admin's body", "keys", _MESSAGE, _filled(b'{"a":{"a":0', b',"a":0', b"}}"), _admin_body),
    Input("vault's message", "keys", _MESSAGE, _filled(b"", b"\0" * 8), keys),
)


def microseconds(one: Input, seconds: float) -> float:
    """The minimum time for a KiB over all runs within the given seconds."""
    data = one.make(one.most)
    best, until = float("inf"), time.perf_counter() + seconds
    while (begun := time.perf_counter()) < until:
        one.run(data)
        best = min(best, time.perf_counter() - begun)
    return best * 1e6 / (len(data) / KIB)


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code.
    """
    parser = Parser(prog="python -m bench.parsers", description="Measure the cost of the worst input from outside.")
    parser.add_argument("--all", action="store_true", help="all inputs, not just the worst of each parser")
    parser.add_argument("--seconds", type=_seconds, default=0.2, help="for each input (0.2)")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{'parser':24}{'input':32}{'KiB':>6}{'us/KiB':>10}\n")
    for _, inputs in groupby(INPUTS, lambda one: one.parser):
        costs = sorted(((microseconds(one, options.seconds), one) for one in inputs), key=lambda cost: -cost[0])
        for cost, one in costs if options.all else costs[:1]:
            sys.stdout.write(f"{one.parser:24}{one.name:32}{one.most // KIB:6}{cost:10.1f}\n")
            sys.stdout.flush()
    return 0


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text} is not within 60 seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
