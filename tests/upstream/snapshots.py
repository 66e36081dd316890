"""An endpoint snapshot to be written and read within one process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from splicer.ipc.endpoint_memory import EndpointMemory, make_endpoint_memory
from splicer.policy.endpoint_flags import READY, SERVING, KnownEndpoint, Verdict
from splicer.policy.tiers import Key
from splicer.upstream.snapshot import EndpointSnapshot, Found, encode

FIT = READY | SERVING


class Snapshot:
    """Its writer, and a reader of the kind that workers have."""

    def __init__(self) -> None:
        fd = make_endpoint_memory()
        self.writer = EndpointMemory(fd, writable=True)
        self.memory = EndpointMemory(fd)
        self.reader = EndpointSnapshot(self.memory)
        os.close(fd)  # the memory stays mapped

    def publish(self, found: Mapping[str, Found], verdicts: Mapping[Key, Verdict] | None = None) -> None:
        self.writer.renew(time.monotonic())
        self.writer.publish(encode(found, verdicts or {}))


def found(*rows: KnownEndpoint, synced: bool = True) -> Found:
    return Found(synced, 1.5, rows)


def row(pod: str, address: str, flags: int = FIT, port: int = 8000) -> KnownEndpoint:
    return KnownEndpoint(pod, address, port, flags, "zone-a", 2.5)
