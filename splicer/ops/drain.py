"""Draining through the admin address: new calls go elsewhere, live ones finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address

from attrs import frozen

from splicer.config.scalars import printable
from splicer.ops.answer import JsonObject, rows
from splicer.ops.client import Client
from splicer.ops.failure import AdminFailed

_POLL_INTERVAL = 0.5  # seconds between two requests
_RESTART_TIMEOUT = 15.0  # seconds without an answer: the admin process may be killed at any time, and is then replaced
_MAX_REQUEST_TIMEOUT = 5.0  # seconds
_MIN_REQUEST_TIMEOUT = 1.0


@frozen
class Scope:
    """What is drained: a pod, a route, or, with neither, the whole edge."""

    pod: str | None = None
    route: str | None = None

    def __str__(self) -> str:
        return "everything" if self == Scope() else printable(" ".join(self._key))

    @property
    def body(self) -> JsonObject:
        """The body of POST and DELETE /drain."""
        return {} if self == Scope() else dict([self._key])

    def remaining(self, answer: JsonObject) -> int | None:
        """The number of its live tunnels in an answer of /drain; None if it is not known at the moment.

        Raises:
            AdminFailed: the scope is not drained.
        """
        row = self.find(answer)
        if row is None:
            raise AdminFailed(f"{self}: is not drained")
        count = row.get("remaining")
        return count if isinstance(count, int) else None

    def find(self, answer: JsonObject) -> JsonObject | None:
        """Its entry among the drains in an answer; None: it is not drained."""
        kind, name = self._key
        listed = kind, _as_listed(name) if kind == "pod" else name
        drains = rows(answer, "drains")
        return next((row for row in drains if (row.get("scope"), row.get("name") or "") == listed), None)

    @property
    def _key(self) -> tuple[str, str]:
        if self.pod is not None:
            return "pod", self.pod
        return ("all", "") if self.route is None else ("route", self.route)


def _as_listed(pod: str) -> str:
    """A pod's name in the form in which the admin address lists it."""
    name = pod.lower().removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def remain(count: int | None) -> str:
    """The number of remaining tunnels as text."""
    if count is None:
        return "it is not known how many tunnels remain"
    return f"{count} tunnel remains" if count == 1 else f"{count} tunnels remain"


def wait(
    client: Client, scope: Scope, answer: JsonObject, timeout: float, show: Callable[[int | None], None]
) -> JsonObject:
    """Poll until no tunnel remains, or the time is over.

    Args:
        client: the admin address.
        scope: what is drained.
        answer: the answer of POST /drain.
        timeout: seconds.
        show: called after each answer with the number of remaining tunnels.

    Returns:
        The last answer of GET /drain.

    Raises:
        AdminFailed: the scope is no longer drained, or there was no answer for `_RESTART_TIMEOUT`.
    """
    until = time.monotonic() + timeout
    while True:
        count = scope.remaining(answer)
        show(count)
        if count == 0:
            return answer
        later = _poll(client, until)
        if later is None:
            return answer
        answer = later


def _poll(client: Client, until: float) -> JsonObject | None:
    give_up_at = time.monotonic() + _RESTART_TIMEOUT
    while (rest := until - time.monotonic()) > 0:
        time.sleep(min(_POLL_INTERVAL, rest))
        seconds = min(_MAX_REQUEST_TIMEOUT, max(_MIN_REQUEST_TIMEOUT, until - time.monotonic()))
        try:
            return client.ask("GET", "/drain", seconds=seconds)
        except AdminFailed:
            if time.monotonic() > give_up_at:
                raise
    return None
