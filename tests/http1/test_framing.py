"""A body is what h11 would have made of it: the same content, errors and ends, on both legs.

h11 frames everything for the references below; the code under test asks it for the chunks that it writes alone.
"""

from __future__ import annotations

from itertools import pairwise

import h11
from attrs import frozen
from hypothesis import event, example, given
from hypothesis import strategies as st

from splicer.errors import BadAnswer, PodClosed
from splicer.http1.body import EndOfBody
from splicer.http1.headers import forwarded_trailers
from splicer.http1.request import parse_request
from splicer.http1.response import ResponseParser
from splicer.http1.writer import ResponseWriter
from splicer.model import Header, Headers, RequestHead

LIMIT = 4096
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
CLOSING: list[tuple[bytes, ...]] = [
    (),
    (),
    (b"close",),
    (b"keep-alive",),
    (b"x,\tCLOSE ,",),
    (b"x", b"Close"),
    (b"closed",),
]
STATUSES = st.sampled_from([200, 200, 204, 205, 304, 206, 404, 503]) | st.integers(200, 999)
BODIES = st.binary(max_size=30)
Moment = tuple[object, ...]


@frozen
class Play:
    """What happens to one exchange with a pod.

    Args:
        head: the request.
        sent: its body, as far as it is sent, in pieces.
        ended: its end is sent too.
        early: all that happens before the first byte of the answer.
        pieces: the answer.
        eof: the stream ends behind them.
        at_once: nothing is taken before all is fed.
    """

    head: RequestHead
    sent: list[bytes]
    ended: bool
    early: bool
    pieces: list[bytes]
    eof: bool
    at_once: bool


class PodByH11:
    """What `ResponseParser` is, with h11 for all of it."""

    def __init__(self, request: RequestHead) -> None:
        fields = [(b"Host", b"pod")]
        if request.chunked:
            fields.append((b"Transfer-Encoding", b"chunked"))
        elif request.content_length is not None:
            fields.append((b"Content-Length", b"%d" % request.content_length))
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)
        self._h11.send(h11.Request(method=request.method, target="/", headers=fields))
        self._request = request
        self._status = 0
        self._eof = False
        self._end: EndOfBody | None = None
        if not request.has_body:
            self._h11.send(h11.EndOfMessage())

    def body(self, data: bytes) -> bytes:
        return self._h11.send(h11.Data(data=data))

    def end_body(self) -> bytes:
        return self._h11.send(h11.EndOfMessage()) if self._request.has_body else b""

    def feed(self, data: bytes) -> None:
        self._h11.receive_data(data)

    def feed_eof(self) -> None:
        self._eof = True
        self._h11.receive_data(b"")

    def next_status(self) -> int | None:
        try:
            happened = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise PodClosed from error
        return happened.status_code if isinstance(happened, h11.Response | h11.InformationalResponse) else None

    def next_body(self) -> bytes | EndOfBody | None:
        if self._end is not None:
            return self._end
        try:
            happened = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise BadAnswer from error
        if isinstance(happened, h11.Data):
            return bytes(happened.data)
        if isinstance(happened, h11.EndOfMessage):
            self._end = EndOfBody(tuple(happened.headers.raw_items()))
        return self._end

    @property
    def trailing(self) -> bytes:
        return self._h11.trailing_data[0]

    @property
    def reusable(self) -> bool:
        both_done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        return both_done and not self._eof and not self.trailing


class Pod(ResponseParser):
    def next_status(self) -> int | None:
        head = self.next_head()
        return None if head is None else head.status


def told(pod: Pod | PodByH11, play: Play) -> list[Moment]:
    """All that can be seen of an exchange, in the order in which it happens."""
    seen: list[Moment] = []
    status, over = 0, False

    def send() -> None:
        wire = b"".join(pod.body(piece) for piece in play.sent) if play.head.has_body else b""
        seen.append(("sent", wire + (pod.end_body() if play.ended else b"")))

    def take() -> bool:
        nonlocal status, over
        try:
            while status < 200:
                coming = pod.next_status()
                if coming is None:
                    return True
                status = coming
                seen.append(("head", status))
            while (piece := pod.next_body()) is not None:
                match seen[-1]:
                    case "body", bytes(before) if isinstance(piece, bytes):  # where a chunk ends is nobody's business
                        seen[-1] = ("body", before + piece)
                    case _:
                        seen.append(("body", piece))
                if over := isinstance(piece, EndOfBody):
                    break
        except (BadAnswer, PodClosed) as error:
            seen.append((type(error), pod.reusable))
            return False
        return True

    def run() -> None:
        for piece in play.pieces:
            pod.feed(piece)
            if not play.at_once and not take():
                return
            seen.append((pod.trailing if over else b"", pod.reusable))
        if play.eof:
            pod.feed_eof()
            seen.append((pod.trailing if over else b"", pod.reusable))
        if take():
            seen.append((pod.trailing if over else b"", pod.reusable))

    if play.early:
        send()
    run()
    if not play.early:
        send()
    return [*seen, (pod.reusable,)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    minor = draw(st.sampled_from([b"1", b"1", b"0"]))
    lines = [b"HTTP/1.%s %d X" % (minor, draw(STATUSES))]
    lines += [b"Connection: " + value for value in draw(st.sampled_from(CLOSING))]
    body = draw(BODIES)
    match draw(st.sampled_from(["length", "length", "chunks", "none"])):
        case "length":
            lines.append(b"cOntent-Length: %d" % draw(st.sampled_from([len(body)] * 3 + [0, len(body) + 1, 2**63 - 1])))
        case "chunks" if minor == b"1":
            lines.append(b"Transfer-Encoding: Chunked")
            ending = draw(
                st.sampled_from(
                    [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n", b"", b"0\r\n", b"xyz\r\n", b"\r\n"]
                )
            )
            body = b"".join(map(chunk, draw(st.lists(BODIES, max_size=3)))) + ending
    before = draw(st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103\r\nLink: x\r\n\r\n"]))
    behind = draw(st.sampled_from([b"", b"", b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    return before + b"\r\n".join(lines) + b"\r\n\r\n" + body + behind


@st.composite
def plays(draw: st.DrawFn) -> Play:
    length: int | None = None
    sent: list[bytes] = []
    method = draw(st.sampled_from(["GET", "GET", "HEAD", "POST"]))
    chunked = method == "POST" and draw(st.booleans())
    if method == "POST":
        sent = draw(st.lists(BODIES, max_size=3))
        length = None if chunked else sum(map(len, sent))
    head = RequestHead(method, "/", "/", None, "a", "1.1", ((b"Host", b"a"),), length, chunked)
    whole = draw(answers())
    cuts = draw(st.lists(st.integers(0, len(whole)), max_size=5))
    last = draw(st.sampled_from([len(whole)] * 3 + [max(cuts, default=0)]))
    pieces = [whole[start:end] for start, end in pairwise(sorted({0, last, *cuts}))]
    ended, eof = draw(st.sampled_from([True, True, False])), draw(st.sampled_from([False, False, True]))
    return Play(head, sent, ended, draw(st.booleans()), pieces, eof, draw(st.booleans()))


def get(answer: bytes, *, eof: bool = False) -> Play:
    head = RequestHead("GET", "/", "/", None, "a", "1.1", ((b"Host", b"a"),))
    return Play(head, [], ended=True, early=True, pieces=[answer], eof=eof, at_once=False)


@given(plays())
@example(get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
@example(get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"))
@example(get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", eof=True))
@example(get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", eof=True))
@example(get(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhell", eof=True))
@example(get(b"HTTP/1.1 200 OK\r\n\r\nhello", eof=True))
@example(get(b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\nhello", eof=True))
def test_a_pod_s_answer_is_told_as_h11_would_tell_it(play: Play) -> None:
    seen = told(Pod(play.head, LIMIT), play)
    event("reusable" if seen[-1] == (True,) else "not reusable")
    assert seen == told(PodByH11(play.head), play)


class WriterByH11:
    """What `ResponseWriter` is, with h11 for all of it: its framing, and whether the connection persists."""

    def __init__(self, server: h11.Connection, request: RequestHead) -> None:
        self._server = server
        self._request = request
        self._chunked = False

    def head(self, status: int, lengths: Headers, *, close: bool) -> list[bytes]:
        lengths = () if status == 204 else lengths
        said: list[Header] = [*lengths, (b"Connection", b"close")] if close else [*lengths]
        heard = self._server.send(h11.Response(status_code=status, headers=said))
        bodiless = self._request.method == "HEAD" or status in (204, 304)
        self._chunked = not bodiless and b"\r\nTransfer-Encoding: chunked\r\n" in heard
        lines = [b"%s: %s" % header for header in lengths]
        if self._chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if b"\r\nConnection: close\r\n" in heard:
            lines.append(b"Connection: close")
        return lines

    def body(self, data: bytes) -> bytes:
        return self._frame(h11.Data(data=data))

    def end(self, trailers: list[Header]) -> bytes:
        return self._frame(h11.EndOfMessage(headers=forwarded_trailers(trailers) if self._chunked else []))

    def _frame(self, happening: h11.Data | h11.EndOfMessage) -> bytes:
        try:
            return self._server.send(happening)
        except h11.LocalProtocolError as error:
            raise BadAnswer from error

    @property
    def persistent(self) -> bool:
        return self._server.our_state is h11.DONE and self._server.their_state is h11.DONE


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request head that announces a body of at most three bytes."""
    minor = draw(st.sampled_from([b"1", b"1", b"1", b"0"]))
    lines = [draw(st.sampled_from([b"GET", b"HEAD", b"POST"])) + b" / HTTP/1." + minor, b"Host: a"]
    lines += [b"Connection: " + value for value in draw(st.sampled_from(CLOSING))]
    lines += draw(st.sampled_from([[], [], [b"Upgrade: h2c", b"Connection: upgrade"], [b"Expect: 100-continue"]]))
    lines += draw(st.sampled_from([[], [], [b"Content-Length: 0"], [b"Content-Length: 3"]]))
    return b"\r\n".join([*lines, b"", b""])


@given(
    requests(),
    STATUSES,
    st.lists(BODIES, max_size=4),
    st.sampled_from([0, 0, 0, 1, -1, "chunks", "none"]),
    st.booleans(),
    st.sampled_from([False, False, True]),
)
@example(UPGRADE, 200, [b"hello"], 0, False, False)
@example(UPGRADE, 200, [b"hello"], 1, False, False)
@example(UPGRADE, 200, [b"hello"], -1, False, False)
def test_a_client_s_answer_is_framed_as_h11_would_frame_it(
    raw: bytes, status: int, pieces: list[bytes], framing: int | str, informed: bool, close: bool
) -> None:
    headers: Headers = ()
    if isinstance(framing, int):
        headers = ((b"content-Length", b"%d" % max(0, sum(map(len, pieces)) + framing)),)
    trailers = [(b"X-Sum", b"1"), (b"Host", b"b")]

    def read(server: h11.Connection, head: RequestHead) -> None:
        if head.has_body:
            server.receive_data(b"abc")
        while not isinstance(server.next_event(), h11.EndOfMessage):
            pass

    def run(ours: bool) -> list[Moment]:
        head, server = parse_request(raw, limit=LIMIT)
        answer: ResponseWriter | WriterByH11
        if ours:
            answer = ResponseWriter(server, head)
            if informed:
                answer.informational(103, b"", ())
            added = ((b"Transfer-Encoding", b"chunked"),) if framing == "chunks" else ()
            wire = answer.head(status, b"X", headers + added, close=close)
            seen: list[Moment] = [(wire.split(b"\r\n")[1:-2], answer.persistent)]
        else:
            read(server, head)
            answer = WriterByH11(server, head)
            if informed and head.version == "1.1":
                server.send(h11.InformationalResponse(status_code=103, headers=[]))
            seen = [(answer.head(status, headers, close=close), answer.persistent)]
        try:
            for piece in pieces:
                seen.append((answer.body(piece), answer.persistent))
            seen.append((answer.end(trailers), answer.persistent))
        except BadAnswer:
            seen.append((BadAnswer, answer.persistent))
        return [*seen, (answer.persistent,)]

    seen = run(ours=True)
    event("persistent" if seen[-1] == (True,) else "not persistent")
    assert seen == run(ours=False)
