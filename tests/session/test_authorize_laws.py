"""What holds whatever an authorizer sends: an answer in time, and no host outside the template."""

from __future__ import annotations

import re
from typing import Any

import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.routing.template import check_label
from tests.kit.http import Message, read_request
from tests.kit.laws import examples
from tests.session.authorizers import AUTH, call, rule
from tests.session.edge import APP, SPARE, Script, open_edge
from tests.session.message import GET, POST, UPGRADE, read_answer
from tests.session.pods import noting
from tests.session.wire import Peer

NAMES = st.sampled_from(
    [b"voice-3", b"a.b", b"../etc", b"A", b"10.0.0.1", b"", b"x" * 64, b"x" * 63, b"a, b", b"\xe4", b"a\rb"]
)
WORDS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\n",
        b"HTTP/1.1 401 No\r\n",
        b"HTTP/1.1 503 No\r\n",
        b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n",
        b"X-User: alice\r\n",
        b"X-User: a\r\n b\r\n",
        b"Host: evil.test\r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: 200000\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"2\r\n@@\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"\r\n",
        b"@@",
    ]
)
ANSWERS = st.lists(WORDS | NAMES.map(b"X-Pod: %s\r\n".__mod__) | st.binary(max_size=8), max_size=9).map(b"".join)


class AnyPod(dict[str, Any]):
    """Every name below pods.test has an address."""

    def get(self, name: str, default: Any = None) -> Any:
        return (APP,) if name.endswith("pods.test") else super().get(name, default)


def saying(raw: bytes, pieces: int, *, close: bool) -> Script:
    async def script(pod: Peer) -> None:
        await read_request(pod)
        size = max(1, len(raw) // pieces)
        for start in range(0, len(raw), size):
            await pod.send(raw[start : start + size])
            await trio.sleep(0.01)
        if close:
            pod.end.close()
        await trio.sleep_forever()

    return script


@settings(max_examples=examples(300), deadline=None)
@given(
    raw=ANSWERS,
    pieces=st.integers(1, 5),
    close=st.booleans(),
    request_bytes=st.sampled_from([GET, POST, UPGRADE]),
    on_failure=st.sampled_from(["refuse", "fallback"]),
)
@example(
    raw=b"HTTP/1.1 200 OK\r\nX-Pod: voice-3\r\n\r\n", pieces=1, close=False, request_bytes=GET, on_failure="refuse"
)
def test_an_answer_chooses_among_the_pods_or_nothing(
    raw: bytes, pieces: int, close: bool, request_bytes: bytes, on_failure: Any
) -> None:
    async def main() -> None:
        async with open_edge(call(rule(on_failure=on_failure))) as edge:
            heard: list[Message] = []
            edge.names.served = AnyPod({"auth.test": (AUTH,), "spare.test": (SPARE,)})
            edge.pods |= {AUTH: saying(raw, pieces, close=close), APP: noting(heard), SPARE: noting(heard)}
            client = await edge.ask(request_bytes)
            told = await read_answer(client)
            assert trio.current_time() < 2.1, "it was in time"
            assert edge.dialled.count(AUTH) == 1, "it was asked once"
            hosts = [name for name in edge.names.asked if name not in ("auth.test", "spare.test")]
            for host in hosts:
                assert check_label(host.removesuffix(".pods.test"))
                assert b"X-Pod: %s\r\n" % host.removesuffix(".pods.test").encode() in raw
            assert len(heard) <= 1
            for request in heard:
                assert request.get("Host") == "edge.test"
                assert len(request.values("X-User")) <= raw.count(b"X-User")
            if not heard:
                allowed = {301, 302, 401, 503, 504}
                assert told.status in allowed
            assert re.fullmatch(r"HTTP/1\.1 \d{3} .*", told.line)
            client.end.close()

    trio.run(main, clock=MockClock(autojump_threshold=0))
