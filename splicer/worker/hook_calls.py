"""Telling hooks of the ends of calls."""

from __future__ import annotations

from collections.abc import Callable

from splicer.hooks import CallEnd
from splicer.model import Route
from splicer.observer import Observer
from splicer.record import Record
from splicer.session.context import Ruleset
from splicer.session.hook_time import BLOCKING_SECONDS, measured

_LONGEST_REASON = 200  # characters


class HookCalls(Observer):
    """The session's observer that tells the hooks of the call's route, as they are in the present configuration.

    A call may have begun under an older configuration, or in another worker: it is told to whom the route of its name
    has now.

    Args:
        rules: returns the present rules.
        routes: those of the configuration.
        failures: is told of hooks that fail or block.
    """

    def __init__(self, rules: Callable[[], Ruleset], routes: tuple[Route, ...], failures: Observer) -> None:
        self._rules = rules
        self._hooks = {route.name: tuple(hook.name for hook in route.hooks) for route in routes if route.hooks}
        self._failures = failures

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        for name in self._hooks.get(record.route or "", ()):
            hook = self._rules().hooks.get(name)
            if hook is not None and hook.on_call_end is not None:
                self._tell(name, hook.on_call_end, record)

    def _tell(self, name: str, tell: Callable[[CallEnd], object], record: Record) -> None:
        call = _call_end(record)
        reason, seconds = measured(lambda: tell(call))
        if reason is not None:
            self._failures.hook_called(record, name, "failed", seconds, f"on_call_end: {reason}"[:_LONGEST_REASON])
        if seconds > BLOCKING_SECONDS:
            self._failures.hook_blocked(name, seconds)


def _call_end(record: Record) -> CallEnd:
    endpoint = record.endpoint
    return CallEnd(
        id=record.id,
        route=record.route or "",
        client=record.client,
        pod=None if endpoint is None else endpoint.pod,
        endpoint=None if endpoint is None else str(endpoint),
        seconds=(record.ended or record.started) - record.started,
        to_pod=record.to_pod,
        to_client=record.to_client,
        closed_by=record.closer,
        reason=record.close_reason,
        log=dict(record.hook_fields),
    )
