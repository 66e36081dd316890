"""One health check: a connection of its own, and a GET or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from splicer import __version__
from splicer.errors import SplicerError
from splicer.health import HealthCheck
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint, RequestHead, authority
from splicer.net.dial import dial
from splicer.net.stream import ByteStream
from splicer.tls_errors import TlsLost
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.pod import PodLeg

PASSED = "ok"
DEADLINE = "deadline"
NO_PROCESS = "tls_no_process"
UNKNOWN = frozenset({"no_descriptor", TlsLost.reason, NO_PROCESS})
"""Outcomes that say nothing of the endpoint."""

_HEAD_BYTES = 16 * 1024  # of an answer
_BUFFER = 64 * 1024


async def probe(
    endpoint: Endpoint,
    host: str,
    check: HealthCheck,
    closing: ClosingConnections,
    first: bytes = b"",
    secure: Callable[[ByteStream], Awaitable[ByteStream]] | None = None,
) -> str:
    """Check an endpoint once.

    Whether it accepts connections is a part of it, so no connection is used twice. The body of an answer is not read.

    Args:
        endpoint: what is checked; the check may have another port.
        host: the host that the request names.
        check: the check.
        closing: closes connections to pods that were asked to do it first.
        first: what the connection begins with.
        secure: speaks TLS on a connection, behind `first`; it uses the connection up.

    Returns:
        `PASSED`, "status" for an answer that is not 2xx, "deadline", or the `reason` of an error.
    """
    port = endpoint.port if check.port is None else check.port
    try:
        with trio.fail_after(check.timeout):
            stream: ByteStream = await dial(Endpoint(endpoint.pod, endpoint.address, port), _BUFFER)
            try:
                if check.path is None:
                    await PodLeg(stream, endpoint, _parser("/"), reused=False).send_all(first)
                    stream.close()
                    return PASSED
                if secure is not None:
                    await stream.send_all(first)
                    stream, first = await secure(stream), b""
                leg = PodLeg(stream, endpoint, _parser(check.path), reused=False)
                status = await _status(leg, first, authority(host, port), check.path)
            except BaseException:
                stream.close()
                raise
            closing.add(stream)
            return PASSED if 200 <= status <= 299 else "status"
    except trio.TooSlowError:
        return DEADLINE
    except SplicerError as error:
        return error.reason


def _parser(path: str) -> ResponseParser:
    return ResponseParser(RequestHead("GET", path, path, None, "", "1.1", ()), _HEAD_BYTES)


async def _status(leg: PodLeg, first: bytes, named: str, path: str) -> int:
    fields = f"Host: {named}\r\nUser-Agent: splicer-health/{__version__}\r\nAccept: */*\r\nConnection: close"
    await leg.send_all(first + f"GET {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode("ascii"))
    answer = await leg.read_head()
    while answer.status < 200:
        await trio.lowlevel.checkpoint()  # an endpoint that sends them without a pause must meet the deadline
        answer = await leg.read_head()
    return answer.status
