"""The spans of all workers, on their way to the collector."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import trio

from splicer.admin.current_config import CurrentConfig
from splicer.config.tracing import TracingSettings
from splicer.observe.log import Logger
from splicer.otlp.exporter import Exporter

_AT_ONCE = 256  # packets of one channel that are read in one step
# Before a channel that was read to its end is looked at again: a wake-up costs more than many packets. A channel may
# hold no more than 300 of them, where the kernel's limit is the usual one.
_NAP_SECONDS, _SHORT_NAP_SECONDS, _MANY = 0.25, 0.05, 64
_LAST_PACKETS_TIMEOUT = 1.5  # seconds for workers that end to tell of their last calls
_LONGEST = 64 * 1024  # bytes of a packet


class Traces:
    """Reads the workers' channels, and exports.

    Args:
        nursery: where channels are read.
        current: has the configuration in force.
        environ: the environment, which may name the pod.
        log: the logger.
    """

    def __init__(self, nursery: trio.Nursery, current: CurrentConfig, environ: Mapping[str, str], log: Logger) -> None:
        self._nursery = nursery
        self._channels = 0
        self._empty = trio.Event()
        self._hurried = trio.Event()
        self._done = trio.Event()
        self._current = current
        self.exporter = Exporter(self._settings, _resource(environ), log)

    def listen(self, slot: int, sock: socket.socket) -> None:
        """Read a worker's channel, which is owned from now on, until its worker is gone."""
        self._channels += 1
        self._nursery.start_soon(self._read, slot, sock)

    async def run(self) -> None:
        """Export until `finish`."""
        await self.exporter.run()
        self._done.set()

    async def finish(self) -> None:
        """Export what there is, and what workers that end still tell; the caller sets the deadline."""
        self._hurried.set()
        with trio.move_on_after(_LAST_PACKETS_TIMEOUT):
            while self._channels:
                self._empty = trio.Event()
                await self._empty.wait()
        self.exporter.stop()
        await self._done.wait()

    def _settings(self) -> TracingSettings | None:
        config = self._current.now
        return None if config is None else config.tracing

    async def _read(self, slot: int, sock: socket.socket) -> None:
        try:
            while await self._read_some(slot, sock):
                await trio.lowlevel.checkpoint()
        except OSError:
            pass  # the worker is gone
        finally:
            sock.close()
            self._channels -= 1
            self._empty.set()

    async def _read_some(self, slot: int, sock: socket.socket) -> bool:
        """Read a few packets; False: there will be no more."""
        packets, more = _packets(sock)
        self.exporter.take(slot, packets)
        if more is None:
            with trio.move_on_after(_NAP_SECONDS if len(packets) < _MANY else _SHORT_NAP_SECONDS):
                await self._hurried.wait()
            await trio.lowlevel.wait_readable(sock)
            return True
        return more


# A buffer for each packet would cost more than the packet: the kernel clears its pages each time.
_buffer = memoryview(bytearray(_LONGEST))


def _packets(sock: socket.socket) -> tuple[list[bytes], bool | None]:
    """The packets that are there, but not too many; then whether there may be more, or None: later."""
    packets: list[bytes] = []
    try:
        for _ in range(_AT_ONCE):
            length = sock.recv_into(_buffer)
            if not length:
                return packets, False
            packets.append(bytes(_buffer[:length]))
    except BlockingIOError:
        return packets, None
    except OSError:
        return packets, False  # the worker is gone
    return packets, True


def _resource(environ: Mapping[str, str]) -> dict[str, str]:
    found = {"host.name": os.uname().nodename}
    for name, variable in (("k8s.pod.name", "POD_NAME"), ("k8s.namespace.name", "POD_NAMESPACE")):
        if value := environ.get(variable):
            found[name] = value
    return found
