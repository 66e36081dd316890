"""Calls over TLS: the proxy ends it, with the same certificate, version and cipher suite for every peer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import certificate
from bench.machine import resident, settled_cpu_seconds
from bench.peers.base import Proxy
from bench.scenarios.base import Sample, Scenario, Turn, checked, measured
from bench.traffic import secured

_FRAMES = {"tunnels": 100, "rate": 50, "bytes": 320}  # 20 ms of 8 kHz, 16 bit
_CALLERS = {"clients": 16}
_TUNNELS = 5000
_OPEN_SECONDS = 5.0  # to send a frame through each of them
_DIAL_TIMEOUT = 240.0  # seconds: each takes a handshake of the client's, too
_TIMEOUT = 3.0  # seconds for a proxy to become quiet
_IDLE = 16.0  # seconds that opening them takes, roughly


class Tls(Scenario):
    """The same as `even`, `handshakes` and `idle` measure, over TLS, with one fresh proxy.

    A new call is a full TLS handshake, without resumption, and a WebSocket handshake; the client hangs up at the 101.
    """

    name = "tls"
    about = "calls over TLS 1.3: CPU of a frame, full handshakes, memory of 5,000 silent tunnels"
    repeat = 2
    quick_seconds = 0.5
    fresh = True

    def missing(self) -> str | None:
        """Why the load can't be run here."""
        return certificate.unavailable() or secured.unavailable()

    def measure(self, turn: Turn) -> Iterator[Sample]:
        """Measure memory first, for which the proxy must be fresh; only in a full run."""
        with (
            tempfile.TemporaryDirectory(prefix="bench-tls-") as directory,
            turn.fresh(certificate=certificate.write(Path(directory))) as proxy,
        ):
            if not turn.site.quick:
                yield self._idle(turn, proxy)
            run = measured(turn, proxy, "tls-frames", _FRAMES)
            yield Sample("cpu_us", "us", run.cpu / run.result["count"] * 1e6, run.crowded)
            run = measured(turn, proxy, "tls-handshakes", _CALLERS)
            yield Sample("rate", "1/s", run.rate, run.load_bound)
            yield Sample("per_cpu", "1/s", run.per_cpu)

    def lasts(self, seconds: float, quick: bool) -> float:
        """The estimated seconds of both loads, and of the silent tunnels."""
        return super().lasts(2 * seconds, quick) + (0.0 if quick else _IDLE)

    def _idle(self, turn: Turn, proxy: Proxy) -> Sample:
        before = resident(proxy.pids())
        options = {"tunnels": _TUNNELS, "rate": 1 / _OPEN_SECONDS, "bytes": 160, "seconds": _OPEN_SECONDS}
        with turn.client("tls-frames", proxy, options) as client:
            client.wait_ready(_DIAL_TIMEOUT)
            client.go()
            checked(turn, {**client.result(), "late": 0})  # whether a frame is late doesn't matter here
            settled_cpu_seconds(proxy.pids(), _TIMEOUT)
            return Sample(f"{_TUNNELS}_kb", "KiB", (resident(proxy.pids()) - before) / _TUNNELS / 1024)
