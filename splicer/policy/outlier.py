"""Outlier detection: endpoints that fail several requests in a row are ejected for some time.

As in Envoy (`OutlierDetection`), with these differences: what happens after the head of an answer never counts, at
least one endpoint may always be ejected, and nothing is swept: an ejection ends when its time is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from enum import Enum

from attrs import Factory, define, frozen

from splicer.health import OutlierDetection

Key = tuple[str, int]  # an endpoint's address and port

_MOST = 4096  # endpoints with errors
_JITTER = 0.1  # of an ejection's time: several edges should not come back to an endpoint together
_FORGET_SECONDS = 600.0  # ... without another error, and the errors of an endpoint that was not ejected are forgotten


class Standing(Enum):
    """What the judge thinks of an endpoint."""

    SUSPECT = "suspect"  # it has errors in a row, not enough of them
    EJECTED = "ejected"
    PROBATION = "probation"  # its ejection is over, and the next error ejects it again


@frozen
class Judgement:
    """The state of one endpoint for those who choose endpoints.

    Args:
        standing: what it is.
        until: the end of its ejection; 0.0 if it is not ejected.
        ejections: its ejections in a row, which decide how long the next one is.
    """

    standing: Standing
    until: float = 0.0
    ejections: int = 0


class Verdict(Enum):
    """What an error led to."""

    COUNTED = "counted"
    EJECTED = "ejected"
    REFUSED = "refused"  # too many endpoints are ejected already


@frozen
class Ruling:
    """The effect of one error.

    Args:
        verdict: the effect.
        errors: the errors in a row at the endpoint, for this upstream.
        seconds: the duration of the ejection.
        ejections: the number of ejections in a row.
    """

    verdict: Verdict
    errors: int = 0
    seconds: float = 0.0
    ejections: int = 0


@define
class _Case:
    """One endpoint: `errors` are in a row, by upstream; `calm` is when its errors, or an ejection less, began to count.

    `until` is the end of its ejection, None if it is not ejected.
    """

    base: float
    calm: float
    errors: dict[str, int] = Factory(dict)
    ejections: int = 0
    until: float | None = None
    probation: bool = False

    def judgement(self) -> Judgement | None:
        if self.until is not None:
            return Judgement(Standing.EJECTED, self.until, self.ejections)
        if self.probation:
            return Judgement(Standing.PROBATION, ejections=self.ejections)
        return Judgement(Standing.SUSPECT, ejections=self.ejections) if self.errors else None

    def changes_at(self) -> float:
        if self.until is not None:
            return self.until
        return self.calm + (self.base if self.ejections else _FORGET_SECONDS)


class OutlierJudge:
    """Decides which endpoints are ejected. Endpoints without a recent error take no memory.

    An ejection is the endpoint's, whatever upstream led there; errors are counted for each upstream by its own setting.
    All times are seconds on one clock, which never goes back.

    Args:
        random: returns numbers from 0 to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._cases: dict[Key, _Case] = {}

    def error(
        self, upstream: str, key: Key, settings: OutlierDetection, known: Collection[Key], now: float
    ) -> Ruling | None:
        """Count an error; None: the endpoint is ejected already, or there is no room to remember it.

        Args:
            upstream: the name of the upstream through which the request went.
            key: the endpoint.
            settings: the upstream's.
            known: the upstream's endpoints; `key` counts as one of them.
            now: the time.
        """
        case = self._case(key, settings, now)
        if case is None or case.until is not None:
            return None
        errors = case.errors[upstream] = case.errors.get(upstream, 0) + 1
        case.calm = now
        if errors < settings.consecutive_errors and not case.probation:
            return Ruling(Verdict.COUNTED, errors)
        if not self._may_eject(key, settings, known):
            return Ruling(Verdict.REFUSED, errors)
        case.ejections += 1
        seconds = min(case.ejections * settings.base_ejection_time, settings.max_ejection_time)
        seconds *= 1 + _JITTER * self._random()
        case.base, case.until, case.probation = settings.base_ejection_time, now + seconds, False
        case.errors.clear()
        return Ruling(Verdict.EJECTED, errors, seconds, case.ejections)

    def success(self, key: Key) -> bool:
        """A request succeeded: the errors so far don't count any more; whether that changes anything.

        An ejection goes on to its end.
        """
        case = self._cases.get(key)
        if case is None or not (case.errors or case.probation):
            return False
        case.errors.clear()
        case.probation = False
        self._drop_if_empty(key, case)
        return True

    def forget(self, key: Key) -> None:
        """Forget everything about an endpoint, since it is a new one."""
        self._cases.pop(key, None)

    def advance(self, now: float) -> list[Key]:
        """Bring the state up to date; the endpoints whose ejection has ended."""
        returned = []
        for key, case in list(self._cases.items()):
            if case.until is not None and case.until <= now:
                returned.append(key)
                case.calm, case.until, case.probation = case.until, None, True
            self._calm_down(case, now)
            self._drop_if_empty(key, case)
        return returned

    def changes_at(self) -> float:
        """When `advance` has something to do; `math.inf`: never."""
        return min((case.changes_at() for case in self._cases.values()), default=math.inf)

    def judgements(self) -> Iterator[tuple[Key, Judgement]]:
        """All endpoints that are not simply well, or have been ejected lately."""
        for key, case in self._cases.items():
            judgement = case.judgement()
            if judgement is not None:
                yield key, judgement

    def restore(self, key: Key, judgement: Judgement, now: float) -> None:
        """Take over what an earlier judge thought of an endpoint. How many errors it had is not known: they count anew.

        Args:
            key: the endpoint.
            judgement: the earlier judge's.
            now: the time.
        """
        if judgement.standing is Standing.SUSPECT or len(self._cases) >= _MOST:
            return
        case = self._cases[key] = _Case(OutlierDetection().base_ejection_time, now)
        case.ejections = max(1, judgement.ejections)
        if judgement.standing is Standing.EJECTED:
            case.until = judgement.until
        else:
            case.probation = True

    def _case(self, key: Key, settings: OutlierDetection, now: float) -> _Case | None:
        case = self._cases.get(key)
        if case is not None:
            return case
        if len(self._cases) >= _MOST:
            oldest = next((key for key, case in self._cases.items() if not case.ejections), None)
            if oldest is None:
                return None
            del self._cases[oldest]
        case = self._cases[key] = _Case(settings.base_ejection_time, now)
        return case

    def _may_eject(self, key: Key, settings: OutlierDetection, known: Collection[Key]) -> bool:
        ours = {*known, key}
        ejected = sum(case.until is not None and other in ours for other, case in self._cases.items())
        return ejected + 1 <= max(1, settings.max_ejection_percent * len(ours) // 100)

    # Probation ends with the last ejection that is counted: else an endpoint without requests would keep it for ever.
    def _calm_down(self, case: _Case, now: float) -> None:
        if case.until is not None:
            return
        while case.ejections and case.calm + case.base <= now:
            case.ejections -= 1
            case.calm += case.base
            if not case.ejections:
                case.probation = False
        if not case.ejections and case.calm + _FORGET_SECONDS <= now:
            case.errors.clear()

    def _drop_if_empty(self, key: Key, case: _Case) -> None:
        if case.until is None and not (case.errors or case.probation or case.ejections):
            del self._cases[key]
