"""Outlier detection in the discovery process: workers report, one judge decides, and the snapshot says so to all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Protocol

import trio

from splicer.discovery.publisher import Publisher
from splicer.health import OutlierDetection
from splicer.ipc.endpoint_reports import OutcomeRow
from splicer.model import Upstream, authority
from splicer.observe.log import Logger
from splicer.policy.endpoint_flags import EJECTED, PROBATION, SUSPECT, Verdict
from splicer.policy.outlier import Judgement, Key, OutlierJudge, Ruling, Standing
from splicer.policy.outlier import Verdict as Effect

_FLAGS = {Standing.SUSPECT: SUSPECT, Standing.EJECTED: EJECTED, Standing.PROBATION: PROBATION}
_ALL_FLAGS = SUSPECT | EJECTED | PROBATION


class Counts(Protocol):
    """Counts what is decided."""

    def ejected(self, upstream: str, reason: str) -> None:
        """An endpoint was ejected."""

    def ejection_refused(self, upstream: str) -> None:
        """It was not: too many are."""


class Judging:
    """Judges endpoints by the reports of all workers, and publishes what comes of it.

    It begins with the verdicts that an earlier process has published: ejections survive its death.

    Args:
        publisher: has the verdicts.
        known: returns the endpoints of an upstream, by its name.
        log: the logger.
        counts: counts what is decided.
        random: returns numbers from 0 to 1.
        clock: returns the time on the monotonic clock, seconds.
    """

    def __init__(
        self,
        publisher: Publisher,
        known: Callable[[str], Collection[Key]],
        log: Logger,
        counts: Counts,
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._known = known
        self._log = log
        self._counts = counts
        self._clock = clock
        self._judge = OutlierJudge(random)
        self._settings: dict[str, OutlierDetection] = {}  # by upstream
        self._named: dict[Key, tuple[str, str]] = {}  # upstream and pod of what is ejected
        self._published: dict[Key, Judgement] = {}
        self._changed = trio.Event()
        for key, verdict in publisher.verdicts.items():
            if (judgement := _judgement(verdict)) is not None:
                self._published[key] = judgement
                self._judge.restore(key, judgement, clock())

    def use(self, upstreams: Mapping[str, Upstream]) -> None:
        """Judge by these upstreams' settings from now on. Present ejections last until their end."""
        self._settings = {
            name: upstream.outlier_detection
            for name, upstream in upstreams.items()
            if upstream.outlier_detection is not None
        }
        self._publish()

    def hear(self, rows: Iterable[OutcomeRow]) -> None:
        """Take a worker's report."""
        now, known = self._clock(), cache(self._known)
        self._return(now)
        for row in rows:
            key = row.address, row.port
            if not row.reason:
                self._judge.success(key)
            elif (settings := self._settings.get(row.upstream)) is not None:
                ruling = self._judge.error(row.upstream, key, settings, known(row.upstream), now)
                if ruling is not None:
                    self._rule(row, ruling)
        self._publish()

    def renewed(self, keys: Iterable[Key]) -> None:
        """Forget everything about endpoints that have turned ready: these are pods that are well, or new ones."""
        for key in keys:
            before = self._published.get(key)
            self._judge.forget(key)
            if before is not None and before.standing is Standing.EJECTED:
                self._tell_return(key)
        self._publish()

    async def run(self) -> None:
        """End ejections in time; until cancelled."""
        while True:
            left = self._judge.changes_at() - self._clock()
            with trio.move_on_after(max(0.0, left)):
                await self._changed.wait()
                self._changed = trio.Event()
                continue
            self._return(self._clock())
            self._publish()

    def _rule(self, row: OutcomeRow, ruling: Ruling) -> None:
        if ruling.verdict is Effect.REFUSED:
            self._counts.ejection_refused(row.upstream)
        elif ruling.verdict is Effect.EJECTED:
            key = row.address, row.port
            self._named[key] = row.upstream, row.pod
            self._counts.ejected(row.upstream, row.reason)
            self._log.warning(
                "endpoint_ejected",
                upstream=row.upstream,
                pod=row.pod,
                endpoint=authority(*key),
                reason=row.reason,
                errors=ruling.errors,
                for_s=round(ruling.seconds, 1),
                times=ruling.ejections,
            )

    def _return(self, now: float) -> None:
        for key in self._judge.advance(now):
            self._tell_return(key)

    def _tell_return(self, key: Key) -> None:
        upstream, pod = self._named.pop(key, (None, None))
        self._log.info("endpoint_returned", upstream=upstream, pod=pod, endpoint=authority(*key))

    def _publish(self) -> None:
        judgements = dict(self._judge.judgements())
        for key in self._published.keys() - judgements.keys():
            self._publisher.amend(key, _ALL_FLAGS, 0, until=0.0, ejections=0)
        for key, judgement in judgements.items():
            if self._published.get(key) != judgement:
                flag, until = _FLAGS[judgement.standing], judgement.until
                self._publisher.amend(key, _ALL_FLAGS, flag, until=until, ejections=judgement.ejections)
        self._published = judgements
        self._changed.set()


def _judgement(verdict: Verdict) -> Judgement | None:
    for standing, flag in _FLAGS.items():
        if verdict.flags & flag:
            return Judgement(standing, verdict.until, verdict.ejections)
    return None
