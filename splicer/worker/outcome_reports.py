"""A worker's reports about the endpoints of upstreams that are judged or checked; the others cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from splicer.ipc.endpoint_reports import NamesUsed, OutcomeRow, OutcomesSeen, UsedRow
from splicer.model import Endpoint, Upstream
from splicer.policy.endpoint_flags import PROBATION, SUSPECT
from splicer.policy.tiers import Key, Verdicts
from splicer.worker.reports import Reports

_MOST = 1024  # endpoints with a failure, and names
_USED_INTERVAL = 60.0  # seconds between two reports that a name is in use
_KEEP_SECONDS = 600.0  # after which nobody is interested in it (discovery.names_in_use)


class OutcomeReports:
    """See `upstream.outcomes.Outcomes`.

    A success is worth a report only if it ends something: after a failure that was reported here, whatever the snapshot
    says, for it is up to 0.2 s old; or if the snapshot says that there were failures in other workers.

    Args:
        reports: sends them.
        verdicts: returns those of the endpoint snapshot.
        clock: returns seconds.
    """

    def __init__(
        self, reports: Reports, verdicts: Callable[[], Verdicts], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reports = reports
        self._verdicts = verdicts
        self._clock = clock
        self._failed: dict[Key, None] = {}  # since their last success, the oldest first
        self._used: dict[tuple[str, str, str, int], float] = {}  # when it was reported, the oldest first
        reports.introduced.append(self._tell_used)

    def failed(self, upstream: Upstream, endpoint: Endpoint, reason: str) -> None:
        """See `Outcomes`."""
        key = endpoint.address, endpoint.port
        self._failed.pop(key, None)
        self._failed[key] = None
        if len(self._failed) > _MOST:
            del self._failed[next(iter(self._failed))]
        self._reports.say(OutcomesSeen, OutcomeRow(upstream.name, *key, endpoint.pod, reason))

    def succeeded(self, endpoint: Endpoint) -> None:
        """See `Outcomes`."""
        key = endpoint.address, endpoint.port
        if key in self._failed:
            del self._failed[key]
        else:
            verdicts = self._verdicts()
            if not verdicts or (verdict := verdicts.get(key)) is None or not verdict.flags & (SUSPECT | PROBATION):
                return
        self._reports.say(OutcomesSeen, OutcomeRow("", *key, endpoint.pod, ""))

    def used(self, upstream: Upstream, host: str, endpoint: Endpoint) -> None:
        """See `Outcomes`."""
        use, now = (upstream.name, host, endpoint.address, endpoint.port), self._clock()
        if now - self._used.get(use, -_USED_INTERVAL) < _USED_INTERVAL:
            return
        self._used.pop(use, None)
        self._used[use] = now
        if len(self._used) > _MOST:
            del self._used[next(iter(self._used))]
        self._reports.show(NamesUsed, use, UsedRow(*use))

    # A new discovery process knows no names: without them it would check none until the next calls.
    def _tell_used(self) -> None:
        now = self._clock()
        for use, reported in self._used.items():
            if now - reported < _KEEP_SECONDS:
                self._reports.show(NamesUsed, use, UsedRow(*use))
