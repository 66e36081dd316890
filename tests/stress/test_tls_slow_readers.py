"""Readers that are slow for long over TLS: what is on its way stays in sockets, and nothing grows.

In half a minute they take what slow callers take in ten. `SPLICER_SLOW_READER_SECONDS=600` in the environment makes it
ten minutes, 3600 an hour; -s shows the memory.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import Factory, define

from tests.kit.calls import handshake
from tests.kit.edge import Edge, session_of
from tests.kit.fleet import echoes
from tests.kit.pods import patient_echo, switching, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tls import Certificates, server_context, tls_pod, tls_tunnel
from tests.kit.wire import Wire, dial
from tests.stress.tls_edge import edge_with, plain_address

pytestmark = [pytest.mark.slow, pytest.mark.alone]
_SECONDS = float(os.environ.get("SPLICER_SLOW_READER_SECONDS", "30"))
_RATE = max(32_000, 32_000 * 600 / _SECONDS)  # bytes a second
_LOOKS = 60  # at the memory, in all
_CHUNK = 16_384
_SLACK = 1 << 20  # bytes by which a process may differ: a dictionary that is doubled
_KINDS = ("client", "pod", "both")


@define(eq=False)
class Flow:
    """Bytes from somebody who sends as fast as he can to somebody who reads slowly."""

    sent: int = 0
    read: int = 0

    async def write(self, wire: Wire) -> None:
        while True:
            await wire.stream.send_all(bytes(_CHUNK))
            self.sent += _CHUNK

    async def read_slowly(self, wire: Wire) -> None:
        begun = trio.current_time()
        while True:
            self.read += len(await wire.stream.receive_some(_CHUNK))
            await trio.sleep_until(begun + self.read / _RATE)

    @property
    def held(self) -> int:
        """The bytes in sockets, pipes and processes between the two."""
        return self.sent - self.read


@define(eq=False)
class Call:
    """A call whose two ends both send fast and read slowly."""

    to_pod: Flow = Factory(Flow)
    to_client: Flow = Factory(Flow)

    async def pod(self, wire: Wire) -> None:
        await _both(wire, self.to_client, self.to_pod)

    async def tls_pod(self, wire: Wire) -> None:
        await wire.send(switching(await wire.head()))
        await self.pod(wire)

    async def client(self, edge: Edge, certificates: Certificates, kind: str, place: Place) -> None:
        async with _dial(edge, certificates, kind, place) as wire:
            await _both(wire, self.to_pod, self.to_client)


async def _both(wire: Wire, out: Flow, back: Flow) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(out.write, wire)
        nursery.start_soon(back.read_slowly, wire)


@asynccontextmanager
async def _dial(edge: Edge, certificates: Certificates, kind: str, place: Place) -> AsyncIterator[Wire]:
    path = f"/{'ws1' if kind == 'client' else 'tls'}/{place.name}/{kind}"
    if kind != "pod":
        async with tls_tunnel(edge, certificates.client(), path) as secured:
            yield secured
        return
    async with dial(plain_address(edge)) as wire:
        await wire.send(handshake(path))
        assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        yield wire


@define(eq=False)
class Memory:
    """What was seen at each look: the memory of each process, and what each flow holds, in bytes."""

    series: dict[str, list[int]] = Factory(dict)

    def look(self, edge: Edge, calls: dict[str, Call]) -> None:
        for pid, title in session_of(edge.pid):
            if title.startswith(("splicer: tls", "splicer: worker")) or pid == edge.pid:
                self._add(f"{title[:24]} {pid}", edge.memory(pid=pid))
        for kind, call in calls.items():
            self._add(f"{kind}, on the way to the pod", call.to_pod.held)
            self._add(f"{kind}, on the way to the client", call.to_client.held)

    def _add(self, name: str, value: int) -> None:
        self.series.setdefault(name, []).append(value)

    def text(self) -> str:
        return "\n".join(
            f"{name}: {[value >> 10 for value in values[::6]]} KiB" for name, values in self.series.items()
        )


async def test_nothing_grows(tmp_path: Path) -> None:
    certificates, site = Certificates(tmp_path), Site()
    places, calls, memory = {kind: site.take() for kind in _KINDS}, {kind: Call() for kind in _KINDS}, Memory()
    context = server_context(certificates.folder("pods", *(f"{place.name}.pods.test" for place in places.values())))
    with edge_with(certificates, site) as edge:
        async with trio.open_nursery() as nursery:
            await tunnel_pod(nursery, places["client"].address, site.port, calls["client"].pod)
            for kind in ("pod", "both"):
                await tls_pod(nursery, places[kind].address, site.port, context, calls[kind].tls_pod)
            for kind in _KINDS:
                nursery.start_soon(calls[kind].client, edge, certificates, kind, places[kind])
            quick = site.take()
            await tunnel_pod(nursery, quick.address, site.port, patient_echo)
            async with tls_tunnel(edge, certificates.client(), f"/ws1/{quick.name}/x") as other:
                for _ in range(_LOOKS):
                    await trio.sleep(_SECONDS / _LOOKS)
                    await echoes(other, bytes(160))
                    memory.look(edge, calls)
            nursery.cancel_scope.cancel()
    print(f"\n{memory.text()}")  # noqa: T201 - for a person
    for call in calls.values():
        for flow in (call.to_pod, call.to_client):
            assert flow.read > 0.9 * _RATE * _SECONDS
            assert flow.held > 0  # it was the reader who was slow
    for name, values in memory.series.items():
        settled, later = values[: _LOOKS // 3], values[_LOOKS // 3 :]
        assert max(later) < max(settled) + _SLACK, (name, values)
