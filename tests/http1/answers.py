"""A parser of answers, and all that it says of one."""

from __future__ import annotations

from splicer.http1.body import EndOfBody
from splicer.http1.response import ResponseParser
from splicer.model import Headers, RequestHead, ResponseHead

LIMIT = 4096


def request(method: str = "GET", *, length: int | None = None, chunked: bool = False) -> RequestHead:
    return RequestHead(method, "/", "/", None, "a", "1.1", ((b"Host", b"a"),), length, chunked)


def parser(method: str = "GET", protocol: str | None = None, limit: int = LIMIT) -> ResponseParser:
    return ResponseParser(request(method), limit, protocol=protocol)


class Told:
    """All that a parser said of one answer."""

    def __init__(self) -> None:
        self.heads: list[ResponseHead] = []
        self.body = b""
        self.trailers: Headers | None = None

    def take(self, answer: ResponseParser) -> None:
        while not (self.heads and (self.heads[-1].status >= 200 or self.heads[-1].status == 101)):
            head = answer.next_head()
            if head is None:
                return
            self.heads.append(head)
        while self.heads[-1].status >= 200 and self.trailers is None:
            piece = answer.next_body()
            if piece is None:
                return
            if isinstance(piece, EndOfBody):
                self.trailers = piece.trailers
            else:
                self.body += piece


def tell(answer: ResponseParser, *pieces: bytes, eof: bool = False) -> Told:
    told = Told()
    for piece in pieces:
        answer.feed(piece)
        told.take(answer)
    if eof:
        answer.feed_eof()
        told.take(answer)
    return told


OK = b"HTTP/1.1 200 OK\r\n"
CL = b"Content-Length: 5\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
