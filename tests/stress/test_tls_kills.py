"""Calls over TLS outlive the proxy's workers as plain ones do: with a client, with a pod, and with both.

Each call sends bytes that depend on the place alone, in frames of audio and in bulk, and its pod sends them back. All
are compared, and the log must have counted them.
"""

from __future__ import annotations

import signal
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from attrs import Factory, define

from tests.kit.calls import handshake
from tests.kit.edge import Edge, Line
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tls import NAME, Certificates, server_context, tls_echo, tls_pids, tls_pod
from tests.kit.wire import TIMEOUT, until
from tests.kit.workers import kill_and_see, worker_pids
from tests.stress.tls_edge import edge_with, plain_address

pytestmark = [pytest.mark.slow, pytest.mark.alone]
_PATTERN = Random(1).randbytes(1 << 16)
_SIZES = (160, 160, 160, 160, 20_000)
_KINDS = ("client", "pod", "both")


def pattern(start: int, size: int) -> bytes:
    """The bytes of a call from a place on."""
    at = start % len(_PATTERN)
    return (_PATTERN * 2)[at : at + size] if size <= len(_PATTERN) else b""


@define(eq=False)
class Calls:
    """All calls of a trial."""

    edge: Edge
    plain: tuple[str, int]
    client: ssl.SSLContext
    places: dict[str, Place]
    sent: Counter[str] = Factory(Counter)
    echoed: Counter[str] = Factory(Counter)
    ended: list[str] = Factory(list)  # the calls that ended before their time
    stop: trio.Event = Factory(trio.Event)

    async def run(self, number: int) -> None:
        kind = _KINDS[number % len(_KINDS)]
        path = f"/{'ws1' if kind == 'client' else 'tls'}/{self.places[kind].name}/{number}"
        stream = await self._dial(kind != "pod")
        try:
            await stream.send_all(handshake(path, host=NAME))
            await self._head(stream)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._talk, stream, path, Random(number))
                await self._listen(stream, path)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _dial(self, tls: bool) -> trio.abc.Stream:
        raw = await trio.open_tcp_stream(*(self.edge.address if tls else self.plain))
        if not tls:
            return raw
        stream = trio.SSLStream(raw, self.client, server_hostname=NAME, https_compatible=True)
        await stream.do_handshake()
        return stream

    async def _head(self, stream: trio.abc.Stream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    async def _talk(self, stream: trio.abc.Stream, path: str, random: Random) -> None:
        try:
            while not self.stop.is_set():
                data = pattern(self.sent[path], random.choice(_SIZES))
                self.sent[path] += len(data)
                await stream.send_all(data)
                await trio.sleep(0.02)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the other direction tells

    async def _listen(self, stream: trio.abc.Stream, path: str) -> None:
        while not (self.stop.is_set() and self.echoed[path] == self.sent[path]):
            with trio.move_on_after(0.5):  # it looks whether all is over
                try:
                    data = await stream.receive_some(1 << 15)
                except trio.BrokenResourceError:
                    data = b""
                if not data:
                    self.ended.append(path)
                    return
                assert data == pattern(self.echoed[path], len(data)), f"{path}: other bytes at {self.echoed[path]}"
                self.echoed[path] += len(data)


async def trial(
    certificates: Certificates, fault: Callable[[Edge], Awaitable[None]], calls: int, *, lost: bool = False
) -> tuple[Calls, list[Line]]:
    """Have so many calls during a fault; return them, and the lines of the log about their ends."""
    site = Site()
    with edge_with(certificates, site) as edge:
        async with trio.open_nursery() as nursery:
            places = {kind: site.take() for kind in _KINDS}
            names = [f"{place.name}.pods.test" for place in places.values()]
            context = server_context(certificates.folder("pods", *names))
            await tunnel_pod(nursery, places["client"].address, site.port)
            for kind in ("pod", "both"):
                await tls_pod(nursery, places[kind].address, site.port, context, tls_echo)
            trying = Calls(edge, plain_address(edge), certificates.client(), places)
            async with trio.open_nursery() as talking:
                for number in range(calls):
                    talking.start_soon(trying.run, number)
                await until(lambda: len(trying.sent) == calls)
                await fault(edge)
                trying.stop.set()
                with trio.fail_after(2 * TIMEOUT):
                    await until(lambda: lost or trying.sent == trying.echoed)
            closes = await edge.wait_lines(calls, "tunnel_close")
            nursery.cancel_scope.cancel()
    return trying, closes


def nothing_is_lost(calls: Calls, closes: list[Line]) -> None:
    assert not calls.ended
    assert calls.sent == calls.echoed
    told = {line["path"]: (line["bytes_to_pod"], line["bytes_to_client"]) for line in closes}
    assert told == {path: (count, count) for path, count in calls.sent.items()}
    assert {(line["closed_by"], line["reason"]) for line in closes} <= {("client", "eof"), ("client", "reset")}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def test_workers_are_killed_at_any_moment(certificates: Certificates) -> None:
    random = Random(3)

    async def kill(edge: Edge) -> None:
        for _ in range(15):
            await trio.sleep(random.uniform(0.05, 0.8))
            workers = await until(lambda: worker_pids(edge.pid))
            pid = random.choice(list(workers.values()))
            await kill_and_see(pid)
            await edge.expected(1, "worker_died", pid=pid)

    calls, closes = await trial(certificates, kill, 30)
    nothing_is_lost(calls, closes)
    assert max(line["adopted"] for line in closes) > 3


async def test_all_is_renewed(certificates: Certificates) -> None:
    async def renew(edge: Edge) -> None:
        for times, (signum, event) in (
            (1, (signal.SIGHUP, "reload")),
            (1, (signal.SIGUSR1, "recycled")),
            (1, (signal.SIGUSR2, "upgraded")),
            (2, (signal.SIGUSR2, "upgraded")),
            (2, (signal.SIGHUP, "reload")),
        ):
            edge.signal(signum)
            await edge.wait_lines(times, event)

    calls, closes = await trial(certificates, renew, 18)
    nothing_is_lost(calls, closes)


async def test_a_killed_tls_process_ends_its_calls_and_no_others(certificates: Certificates) -> None:
    async def kill(edge: Edge) -> None:
        pid = min(tls_pids(edge))
        await trio.sleep(0.5)
        await kill_and_see(pid)
        await edge.expected(1, "tls_died", pid=pid)
        await until(lambda: edge.find("tunnel_close", reason="tls_lost"))
        await trio.sleep(1)

    calls, closes = await trial(certificates, kill, 18, lost=True)
    lost = {line["path"] for line in closes if line["reason"] == "tls_lost"}
    assert lost
    assert set(calls.ended) == lost
    assert len(lost) < 18
    assert all(calls.sent[path] == calls.echoed[path] for path in calls.sent.keys() - lost)
    assert {line["closed_by"] for line in closes if line["path"] in lost} == {"proxy"}
