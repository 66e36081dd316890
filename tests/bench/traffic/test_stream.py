from __future__ import annotations

import select
import socket

from bench.traffic.stream import Stream

REST = bytes(range(251)) * 8000  # far more than the socket takes at once
AFTER = bytes(range(250, -1, -1)) * 8000


def test_what_was_read_before_goes_first_and_the_end_comes_last() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
            sock.setblocking(False)
        stream = Stream(ours.fileno(), REST)
        unsent, came = AFTER, bytearray()
        alive = True
        while alive:
            alive = stream.move()
            if unsent and select.select([], [theirs], [], 0)[1]:
                unsent = unsent[theirs.send(unsent) :]
                if not unsent:
                    theirs.shutdown(socket.SHUT_WR)
            while select.select([theirs], [], [], 0)[0]:
                came += theirs.recv(65536)
        stream.close()
    assert came == REST + AFTER
