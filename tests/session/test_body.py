"""A request body by itself: what of it is kept, and for how long."""

from __future__ import annotations

import pytest
import trio

from splicer.http1.body import request_body
from splicer.http1.request import parse_request
from splicer.http1.response import ResponseParser
from splicer.model import Endpoint
from splicer.session.body import RequestBody
from splicer.session.client import ClientLeg
from splicer.session.turns import Turns
from splicer.upstream.pod import PodLeg
from tests.session.wire import Peer, connection

KEPT = 64 * 1024


@pytest.mark.parametrize("size", [0, 1, KEPT, KEPT + 1, 10 * KEPT])
async def test_a_body_is_kept_while_it_is_small(size: int) -> None:
    """It is never held whole: what is too large to be sent twice is not kept at all."""
    head, _ = parse_request(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size or 1), limit=1000)
    client_end, client = connection()
    pod_end, pod = connection()
    body = RequestBody(ClientLeg(client_end, "192.0.2.7"), head, request_body(head, 1000), None, 60.0, Turns())
    leg = PodLeg(pod_end, Endpoint("a", "10.0.0.1", 80), ResponseParser(head, 1000), reused=False)
    sent = trio.Event()
    async with trio.open_nursery() as nursery:
        body.start(nursery, leg, sent.set)
        nursery.start_soon(Peer(client).send, b"x" * size)
        assert await Peer(pod).exactly(size) == b"x" * size
        if size:
            await sent.wait()
        nursery.cancel_scope.cancel()
    assert body.sent == size
    assert body.repeatable is (size <= KEPT)
    assert sum(map(len, body._kept)) == (size if size <= KEPT else 0)
    assert body.complete is body.delivered is bool(size)
