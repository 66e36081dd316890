"""An upstream's `outlier_detection` key."""

from __future__ import annotations

import math

from splicer.config import kinds, values
from splicer.config.keys import Key, written
from splicer.config.kinds import Kind
from splicer.config.reader import Reader
from splicer.config.scalars import At, BadValue, integer
from splicer.config.values import format_duration
from splicer.health import OutlierDetection


def _status(value: object) -> int:
    status = integer(value)
    if 400 <= status <= 499:
        raise BadValue(f"{status} is the client's fault: 4xx is no error of a pod's")
    if not 500 <= status <= 599:
        raise BadValue(f"must be between 500 and 599, not {status}")
    return status


def _time(value: object) -> float:
    seconds = values.duration(value)
    if seconds == math.inf:
        raise BadValue('"never" would keep an endpoint out for ever; write a time, such as "30s"')
    return seconds


_TIME = Kind(_time, values.format_duration, kinds.DURATION.schema, "duration")
_LIST = kinds.list_of(Kind(_status, kinds.unchanged, kinds.integer(500, 599).schema, "status"), "statuses")
_STATUSES = Kind(lambda value: frozenset(_LIST.parse(value)), sorted, _LIST.schema, "list of statuses from 500 to 599")

OUTLIER_KEYS = {
    "consecutive_errors": Key(
        kinds.integer(1, 1000), "So many errors in a row, over all workers, eject an endpoint; a success begins anew."
    ),
    "statuses": Key(
        _STATUSES, "The answers that are errors, besides no answer at all. With an empty list, only that is one."
    ),
    "base_ejection_time": Key(
        _TIME, "How long the first ejection lasts; the n-th in a row lasts n times as long, and up to 10 % longer."
    ),
    "max_ejection_time": Key(_TIME, "... but no longer than this, and up to 10 % longer."),
    "max_ejection_percent": Key(
        kinds.integer(1, 100), "The most of the endpoints that are ejected at once; one may always be."
    ),
}
OUTLIER_TABLE = Reader(OutlierDetection, OUTLIER_KEYS)


def outlier_detection(value: object) -> OutlierDetection:
    """The settings; `{}` is all defaults."""
    settings = OUTLIER_TABLE(value)
    base, most = settings.base_ejection_time, settings.max_ejection_time
    if most < base:
        fault = f"{format_duration(most)} is shorter than base_ejection_time, {format_duration(base)}"
        raise At("max_ejection_time", BadValue(fault))
    return settings


def _brief(settings: OutlierDetection) -> str:
    statuses = "".join(f", {status}" for status in sorted(settings.statuses))
    return (
        f"{settings.consecutive_errors} in a row (no answer{statuses}), "
        f"{format_duration(settings.base_ejection_time)} to {format_duration(settings.max_ejection_time)}, "
        f"{settings.max_ejection_percent} % at most"
    )


OUTLIER_DETECTION: Kind[OutlierDetection | None] = Kind(
    outlier_detection,
    lambda settings: written(OUTLIER_KEYS, settings),
    OUTLIER_TABLE.schema(),
    "table",
    brief=_brief,
)
