"""An upstream's `health_check` key: "tcp", or a table."""

from __future__ import annotations

import math
from typing import Any

from attrs import evolve

from splicer.config import kinds, values
from splicer.config.keys import Key, written
from splicer.config.kinds import Kind
from splicer.config.reader import Reader
from splicer.config.route_parsers import rewrite
from splicer.config.scalars import At, BadValue, closest, resolved, show, text
from splicer.config.values import format_duration
from splicer.health import HealthCheck

_TCP = HealthCheck()
_SHORTEST_INTERVAL = 1.0  # seconds
_MISSING = At("path", BadValue('is missing; write path = "/health", or health_check = "tcp"'))


def _path(value: object) -> str:
    word = text(value)
    if not word.startswith("/"):
        raise BadValue(f'must start with "/"; write {show("/" + word)}')
    template = rewrite(word)
    if template.captures:
        raise BadValue("is fixed: no URL has captures for it")
    return template.render({})


def _time(value: object) -> float:
    seconds = values.duration(value)
    if seconds == math.inf:
        raise BadValue('"never" is no time for a check; leave health_check out to switch it off')
    return seconds


def _interval(value: object) -> float:
    seconds = _time(value)
    if seconds < _SHORTEST_INTERVAL:
        raise BadValue(f"must be {format_duration(_SHORTEST_INTERVAL)} or more, not {format_duration(seconds)}")
    return seconds


def _escaped(path: str) -> str:
    return path.replace("{", "{{").replace("}", "}}")


HEALTH_KEYS = {
    "path": Key(
        Kind(_path, _escaped, kinds.TEXT.schema, "path"), "The target of a GET; the answer must be 2xx.", required=True
    ),
    "port": Key(kinds.integer(1, 65535), "The port that is checked, without TLS.", absent="that of the endpoint"),
    "interval": Key(
        Kind(_interval, format_duration, kinds.DURATION.schema, "duration, 1s or more"),
        "The time between two checks of an endpoint.",
    ),
    "timeout": Key(
        Kind(_time, format_duration, kinds.DURATION.schema, "duration, at most `interval`"),
        "The time for connect, request and the head of the answer together; by default no longer than `interval`.",
    ),
    "unhealthy_threshold": Key(
        kinds.integer(1, 100), "So many failures in a row make it unhealthy; the very first check alone does."
    ),
    "healthy_threshold": Key(kinds.integer(1, 100), "So many successes in a row make it healthy again."),
}
HEALTH_TABLE = Reader(HealthCheck, HEALTH_KEYS)


def health_check(value: object) -> HealthCheck:
    """The check: "tcp", for which a connect is enough, or a table."""
    value = resolved(value)
    if value == "tcp":
        return _TCP
    if not isinstance(value, dict):
        raise BadValue(f'must be "tcp" or a table such as {{ path = "/health" }}, not {show(value)}')
    missing = [] if "path" in value or closest("path", value) else [_MISSING]
    try:
        check = HEALTH_TABLE(value)
    except ExceptionGroup as faults:
        raise ExceptionGroup("table", [*missing, faults]) from None
    if missing:
        raise _MISSING
    if "timeout" not in value:
        check = evolve(check, timeout=min(check.timeout, check.interval))
    if check.timeout > check.interval:
        fault = f"{format_duration(check.timeout)} is longer than interval, {format_duration(check.interval)}"
        raise At("timeout", BadValue(fault))
    return check


def _write(check: HealthCheck) -> Any:
    return "tcp" if check == _TCP else written(HEALTH_KEYS, check)


def _brief(check: HealthCheck) -> str:
    what = "tcp" if check.path is None else f"GET {check.path}"
    port = "" if check.port is None else f" at port {check.port}"
    return f"{what}{port} every {format_duration(check.interval)}"


HEALTH_CHECK: Kind[HealthCheck | None] = Kind(
    health_check,
    _write,
    kinds.any_of({"enum": ["tcp"]}, kinds.REFERENCE, HEALTH_TABLE.schema()),
    '`"tcp"`, or a table',
    brief=_brief,
)
