"""A connection whose first request was read already is read again from its beginning."""

from __future__ import annotations

import h11
import trio
from hypothesis import given
from hypothesis import strategies as st

from splicer.demo.replay import replayed

_NAMES = st.from_regex(r"[A-Za-z][A-Za-z-]{0,8}", fullmatch=True).map(lambda name: f"X-{name}".encode())
_VALUES = st.from_regex(r"(?:[!-~](?:[ -~]{0,20}[!-~])?)?", fullmatch=True).map(str.encode)
_TARGETS = st.from_regex(r"/[!-~]{0,30}", fullmatch=True).map(str.encode)


async def _read_again(head: h11.Request, rest: bytes, step: int | None) -> bytes:
    ours, its = trio.socket.socketpair()
    async with trio.SocketStream(ours) as stream, trio.SocketStream(its) as client:
        await client.send_all(rest)
        await client.send_eof()
        again = replayed(head, stream)
        data = b""
        with trio.fail_after(10):
            while part := await again.receive_some(step):
                assert step is None or len(part) <= step
                data += part
            await again.send_all(b"answer")
            assert await client.receive_some() == b"answer"
            await again.aclose()
            assert await client.receive_some() == b"", "its end is the connection's"
    return data


@given(
    _TARGETS, st.lists(st.tuples(_NAMES, _VALUES), max_size=5), st.binary(max_size=50), st.none() | st.integers(1, 9)
)
def test_the_same_request_comes_and_then_the_rest(
    target: bytes, fields: list[tuple[bytes, bytes]], rest: bytes, step: int | None
) -> None:
    head = h11.Request(method=b"GET", target=target, headers=[(b"Host", b"pod"), *fields])
    data = trio.run(_read_again, head, rest, step)
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(data)
    again = reader.next_event()
    assert isinstance(again, h11.Request)
    assert (again.method, again.target) == (head.method, head.target)
    assert again.headers.raw_items() == head.headers.raw_items()
    assert data.endswith(b"\r\n\r\n" + rest)
