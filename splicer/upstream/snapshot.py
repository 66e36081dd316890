"""The endpoint snapshot as text, which the discovery process writes and all other processes read.

    version<TAB>1
    service<SPACE>voice-system/voice-agent:8000<TAB>{"synced":true,"since":81244.1,"rows":[["pod-3","10.4.1.7",8000,3,…]]}
    verdicts<TAB>[["10.4.1.7",8000,16,81274.1,81240.0],…]

Each line is JSON behind a name, and is parsed only when it is asked for and has changed: a Service of 500 pods that
changes all the time costs a worker what its own requests need. A name that a reader doesn't know is ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import frozen

from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.policy.endpoint_flags import KnownEndpoint, Verdict
from splicer.policy.tiers import Key, Verdicts

VERSION = 1
LEASE = 15.0  # seconds without a sign of life after which nobody keeps the snapshot current; a stuck process has 10
_SERVICE = b"service "
_VERDICTS = b"verdicts"


@frozen
class Found:
    """What is known of one port of a Service.

    Args:
        synced: whether it is current, as far as the API server can say.
        since: since when it is, or is not any more, on the monotonic clock, seconds.
        rows: its endpoints; None: the Service or its port can't be found, and name servers must be asked.
    """

    synced: bool
    since: float
    rows: tuple[KnownEndpoint, ...] | None


def encode(found: Mapping[str, Found], verdicts: Verdicts) -> bytes:
    """The text of a snapshot.

    Args:
        found: by the Service (`model.Service.key`).
        verdicts: by address and port.
    """
    lines = [f"version\t{VERSION}"]
    for service, of_it in found.items():
        fields = {"synced": of_it.synced, "since": of_it.since, "rows": of_it.rows}
        lines.append(f"service {service}\t{_json(fields)}")
    if verdicts:
        lines.append(f"verdicts\t{_json([(*key, *verdict) for key, verdict in verdicts.items()])}")
    return "\n".join(lines).encode("ascii")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))  # without line breaks and tabs, and ASCII


class KnownService:
    """A Service as a reader has parsed it. It is replaced when it changes, so what is made of it may be kept.

    Args:
        raw: the text.
    """

    __slots__ = ("_by_pod", "found", "kept", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.found = _read_service(raw)
        self._by_pod: dict[str, list[KnownEndpoint]] | None = None
        self.kept: dict[object, Any] = {}  # for who asks: what was made of it

    def of_pod(self, pod: str) -> Collection[KnownEndpoint]:
        """The endpoints of a pod."""
        if self._by_pod is None:
            self._by_pod = {}
            for row in self.found.rows or ():
                self._by_pod.setdefault(row.pod, []).append(row)
        return self._by_pod.get(pod, ())


class EndpointSnapshot:
    """Reads the newest snapshot. A look costs some hundred nanoseconds if nothing has changed.

    Args:
        memory: where it is.
        clock: returns seconds, on the monotonic clock.
    """

    def __init__(self, memory: EndpointMemory, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._clock = clock
        self.generation = 0
        self._lines: dict[bytes, bytes] = {}
        self._services: dict[str, KnownService] = {}  # that were asked for in this generation, or before
        self._fresh: dict[str, KnownService | None] = {}  # that were asked for in this generation
        self._raw_verdicts = b""
        self._verdicts: Verdicts | None = {}

    def service(self, key: str) -> KnownService | None:
        """A Service; None: nothing is known of it.

        Args:
            key: see `model.Service.key`.
        """
        if self._memory.sequence != self.generation:
            self._take()
        try:
            return self._fresh[key]
        except KeyError:
            return self._parse(key)

    def is_current(self, found: Found) -> bool:
        """Whether what was found of a Service is what the API server has: who looks is alive and in step."""
        return found.synced and self._clock() < self._memory.alive_at + LEASE

    def stale_since(self, found: Found) -> float:
        """Since when it is not current, if it is not, on the monotonic clock, seconds."""
        return self._memory.alive_at if found.synced else found.since

    @property
    def current(self) -> int:
        """How often a snapshot was published."""
        return self._memory.sequence

    @property
    def services(self) -> Mapping[str, Found]:
        """All Services."""
        if self._memory.sequence != self.generation:
            self._take()
        keys = [name.removeprefix(_SERVICE).decode("ascii", "replace") for name in self._lines if _SERVICE in name]
        return {key: known.found for key in keys if (known := self.service(key)) is not None}

    @property
    def verdicts(self) -> Verdicts:
        """All verdicts; the same object as long as they have not changed."""
        if self._memory.sequence != self.generation:
            self._take()
        if self._verdicts is None:
            self._verdicts = _read_verdicts(self._raw_verdicts)
        return self._verdicts

    def _take(self) -> None:
        read = self._memory.read()
        if read is None:
            return
        self.generation, text = read
        lines = dict(line.partition(b"\t")[::2] for line in text.split(b"\n"))
        if lines.get(b"version") not in (b"%d" % VERSION, b"%d" % (VERSION - 1)):
            return  # of a program that this one was never to meet: what was read before stays
        self._lines = lines
        self._fresh = {}
        self._services = {key: known for key, known in self._services.items() if _SERVICE + key.encode() in lines}
        raw = lines.get(_VERDICTS, b"")
        if raw != self._raw_verdicts:
            self._raw_verdicts, self._verdicts = raw, None

    def _parse(self, key: str) -> KnownService | None:
        raw, known = self._lines.get(_SERVICE + key.encode()), self._services.get(key)
        if raw is None:
            known = None
        elif known is None or known.raw != raw:
            try:
                known = self._services[key] = KnownService(raw)
            except (ValueError, TypeError, KeyError, RecursionError):
                known = None  # a newer program may write what this one can't read: it asks name servers
        self._fresh[key] = known
        return known


def _read_service(raw: bytes) -> Found:
    fields = json.loads(raw)
    rows = fields["rows"]
    width = len(KnownEndpoint._fields)
    if rows and len(rows[0]) > width:  # a newer program tells more
        rows = [row[:width] for row in rows]
    known = None if rows is None else tuple(map(KnownEndpoint._make, rows))
    return Found(bool(fields["synced"]), float(fields["since"]), known)


def _read_verdicts(raw: bytes) -> dict[Key, Verdict]:
    width = 2 + len(Verdict._fields)
    try:
        return {(row[0], row[1]): Verdict._make(row[2:width]) for row in json.loads(raw or b"[]")}
    except (ValueError, TypeError, IndexError, RecursionError):
        return {}
