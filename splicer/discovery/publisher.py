"""Publishing: what is found, and what is judged, becomes the endpoint snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import trio

from splicer.ipc.endpoint_memory import HALF, EndpointMemory, SnapshotFull
from splicer.observe.log import Logger
from splicer.policy.endpoint_flags import READY, Verdict
from splicer.policy.tiers import Key
from splicer.upstream.snapshot import EndpointSnapshot, Found, encode

K = TypeVar("K")
V = TypeVar("V")

_RENEWAL_INTERVAL = 1.0  # seconds between two signs of life for readers (`upstream.snapshot.LEASE`)
_INTERVAL = 0.1  # seconds between two publications; the first change after a pause is published at once


class Publisher:
    """Keeps the snapshot up to date. It begins with what the memory has: what an earlier process found stays true.

    Args:
        memory: this process is its writer.
        log: the logger.
    """

    def __init__(self, memory: EndpointMemory, log: Logger) -> None:
        before = EndpointSnapshot(memory)
        self._memory = memory
        self._log = log
        self._changed = trio.Event()
        self._full = False
        self._found = dict(before.services)
        self._verdicts = dict(before.verdicts)
        self._listeners: list[Callable[[list[Key]], None]] = []

    @property
    def found(self) -> Mapping[str, Found]:
        """What was found, by the Service (`model.Service.key`)."""
        return self._found

    @property
    def verdicts(self) -> Mapping[Key, Verdict]:
        """What was judged, by address and port."""
        return self._verdicts

    def find(self, service: str, found: Found | None) -> None:
        """Publish soon what was found of a Service; None: nothing is known of it any more."""
        before = self._found.get(service)
        if before != found:
            _put(self._found, service, found)
            self._changed.set()
            for tell in self._listeners:
                tell(_turned_ready(before, found))

    def on_find(self, tell: Callable[[list[Key]], None]) -> None:
        """Call `tell` after each change of what is found, with the endpoints that have turned ready."""
        self._listeners.append(tell)

    def judge(self, key: Key, verdict: Verdict | None) -> None:
        """Publish soon the verdict of an address and port; None: there is none."""
        if self._verdicts.get(key) != verdict:
            _put(self._verdicts, key, verdict)
            self._changed.set()

    # A verdict has two authors: who judges calls, and who checks health.
    def amend(self, key: Key, mask: int, flags: int, **fields: Any) -> None:
        """Publish soon a change of a part of a verdict.

        Args:
            key: the address and port.
            mask: the flags that change.
            flags: what they become.
            fields: other fields of the `Verdict`.
        """
        before = self._verdicts.get(key, Verdict())
        verdict = before._replace(flags=before.flags & ~mask | flags, **fields)
        self.judge(key, verdict if verdict.flags else None)

    async def run(self) -> None:
        """Publish changes until cancelled."""
        while True:
            self._memory.renew(time.monotonic())
            with trio.move_on_after(_RENEWAL_INTERVAL):
                await self._changed.wait()
            if self._changed.is_set():
                self._changed = trio.Event()
                self.publish()
                await trio.sleep(_INTERVAL)

    def publish(self) -> None:
        """Publish now. If it is too much, what was published before stays, and the log says so once."""
        try:
            self._memory.publish(encode(self._found, self._verdicts))
        except SnapshotFull as error:
            if not self._full:
                endpoints = sum(len(found.rows or ()) for found in self._found.values())
                self._log.error("endpoint_snapshot_full", endpoints=endpoints, limit=HALF, error=str(error))
            self._full = True
        else:
            self._full = False


def _turned_ready(before: Found | None, after: Found | None) -> list[Key]:
    """Not those of a Service of which nothing was known: they may have been ready for long."""
    if before is None or after is None or before.rows is None or after.rows is None:
        return []
    # Another pod may have the address now, even one of the same name: then it is ready since now.
    ready = {(row[:3], row.since) for row in before.rows if row.flags & READY}
    rows = [row for row in after.rows if row.flags & READY and (row[:3], row.since) not in ready]
    return [(row.address, row.port) for row in rows]


def _put(values: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        del values[key]
    else:
        values[key] = value
