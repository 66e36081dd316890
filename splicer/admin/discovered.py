"""The endpoints that discovery knows, and its verdicts, put together with what workers say of their attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from splicer.config.schema import Config
from splicer.ipc.queries import EndpointRow
from splicer.policy.endpoint_flags import EJECTED, READY, SERVING, TERMINATING, UNHEALTHY, KnownEndpoint, Verdict
from splicer.policy.tiers import Key, unfit
from splicer.upstream.snapshot import EndpointSnapshot

STATES = ("up", "down", "unknown", "not_ready", "terminating", "unhealthy", "ejected")  # of an endpoint
SOURCE = "kubernetes"


class Discovered:
    """What the endpoint snapshot has at one moment.

    Args:
        snapshot: the snapshot.
        config: the configuration in force.
        clock: returns seconds, on the monotonic clock.
    """

    def __init__(
        self, snapshot: EndpointSnapshot, config: Config | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = clock()
        self._verdicts = snapshot.verdicts
        self._upstreams = {} if config is None else config.upstreams
        self._known: dict[str, dict[Key, KnownEndpoint]] = {}  # by upstream
        self._synced: set[str] = set()  # upstreams of which the snapshot has all endpoints
        for upstream in self._upstreams.values():
            known = None if upstream.service is None else snapshot.service(upstream.service.key)
            if known is not None and known.found.rows is not None:
                if snapshot.is_current(known.found):
                    self._synced.add(upstream.name)
                self._known[upstream.name] = {(row.address, row.port): row for row in known.found.rows}

    def rows(self, rows: Iterable[EndpointRow]) -> Iterator[EndpointRow]:
        """The workers' rows, each in its worst state, and one for each endpoint that they don't know.

        Endpoints that are gone are left out, unless they have calls.
        """
        seen: set[tuple[str, str, int]] = set()
        for row in rows:
            seen.add((row.upstream, row.address, row.port))
            known = self._known_of(row)
            if known is None and row.upstream in self._synced and not row.tunnels and not row.requests:
                continue  # it was one, and workers remember it for a while
            if known is not None:
                row = replace(row, pod=known.pod or row.pod, source=SOURCE)
            yield replace(row, state=self._state(row, known))
        for upstream, endpoints in self._known.items():
            for (address, port), known in endpoints.items():
                if (upstream, address, port) not in seen:
                    row = EndpointRow(upstream, known.pod or address, address, port, SOURCE, 0, "unknown", None, None)
                    yield replace(row, state=self._state(row, known))

    def fields(self, row: EndpointRow) -> dict[str, Any]:
        """What there is to say besides of an endpoint that discovery knows, or judges."""
        known, upstream = self._known_of(row), self._upstreams.get(row.upstream)
        fields: dict[str, Any] = {}
        if known is not None:
            fields |= {
                "ready": bool(known.flags & READY),
                "serving": bool(known.flags & SERVING),
                "terminating": bool(known.flags & TERMINATING),
                "zone": known.zone or None,
            }
        verdict = self._verdicts.get((row.address, row.port), Verdict())
        if upstream is not None and upstream.health_check is not None:
            unhealthy = verdict.flags & UNHEALTHY and self._now < verdict.lapses
            fields["health"] = "unhealthy" if unhealthy else "healthy"
        if upstream is not None and upstream.outlier_detection is not None:
            ejected = verdict.flags & EJECTED and self._now < verdict.until
            fields["ejected_for_s"] = round(verdict.until - self._now, 3) if ejected else None
        return fields

    def _known_of(self, row: EndpointRow) -> KnownEndpoint | None:
        return self._known.get(row.upstream, {}).get((row.address, row.port))

    def _state(self, row: EndpointRow, known: KnownEndpoint | None) -> str:
        upstream = self._upstreams.get(row.upstream)
        judged = upstream is not None and upstream.is_judged
        reason = unfit(self._verdicts.get((row.address, row.port)), self._now) if judged else 0
        if reason:
            return "ejected" if reason == EJECTED else "unhealthy"
        if known is not None and not known.flags & READY:
            return "terminating" if known.flags & TERMINATING else "not_ready"
        return row.state
