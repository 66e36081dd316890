"""Draining: new calls go elsewhere, live ones finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address

from attrs import frozen

from splicer.config.scalars import printable
from splicer.ops.answer import JsonObject, rows
from splicer.ops.client import Client
from splicer.ops.failure import AdminFailed

_POLL_INTERVAL = 0.5  # seconds between two looks
_RESTART_TIMEOUT = 15.0  # seconds: the admin process may be killed at any time, and another one takes its place
_MAX_REQUEST_TIMEOUT = 5.0  # seconds
_MIN_REQUEST_TIMEOUT = 1.0


@frozen
class Scope:
    """What is drained: a pod, a route, or with neither the whole."""

    pod: str | None = None
    route: str | None = None

    def __str__(self) -> str:
        return "everything" if self == Scope() else printable(" ".join(self._key))

    @property
    def body(self) -> JsonObject:
        """What POST and DELETE /drain take."""
        return {} if self == Scope() else dict([self._key])

    def remaining(self, answer: JsonObject) -> int | None:
        """How many of its tunnels live, by an answer of /drain; None if that isn't known at the moment.

        Raises:
            AdminFailed: it isn't drained.
        """
        kind, name = self._key
        for row in rows(answer, "drains"):
            if (row.get("scope"), row.get("name") or "") == (kind, _as_listed(name) if kind == "pod" else name):
                count = row.get("remaining")
                return count if isinstance(count, int) else None
        raise AdminFailed(f"{self}: is not drained")

    @property
    def _key(self) -> tuple[str, str]:
        if self.pod is not None:
            return "pod", self.pod
        return ("all", "") if self.route is None else ("route", self.route)


def _as_listed(pod: str) -> str:
    """A pod's name as the admin address lists it, however it was given."""
    name = pod.lower().removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def remain(count: int | None) -> str:
    """As a person says it."""
    if count is None:
        return "it is not known how many tunnels remain"
    return f"{count} tunnel remains" if count == 1 else f"{count} tunnels remain"


def wait(
    client: Client, scope: Scope, answer: JsonObject, timeout: float, show: Callable[[int | None], None]
) -> JsonObject:
    """Look until no tunnel remains, or the time is over.

    Args:
        client: whom to ask.
        scope: that is drained.
        answer: of POST /drain.
        timeout: seconds.
        show: is told at each look how many remain.

    Returns:
        The last answer of GET /drain.

    Raises:
        AdminFailed: it isn't drained any more, or there is no answer for long.
    """
    until = time.monotonic() + timeout
    while True:
        count = scope.remaining(answer)
        show(count)
        if count == 0:
            return answer
        later = _look_again(client, until)
        if later is None:
            return answer
        answer = later


def _look_again(client: Client, until: float) -> JsonObject | None:
    patience = time.monotonic() + _RESTART_TIMEOUT
    while (rest := until - time.monotonic()) > 0:
        time.sleep(min(_POLL_INTERVAL, rest))
        seconds = min(_MAX_REQUEST_TIMEOUT, max(_MIN_REQUEST_TIMEOUT, until - time.monotonic()))
        try:
            return client.ask("GET", "/drain", seconds=seconds)
        except AdminFailed:
            if time.monotonic() > patience:
                raise
    return None
