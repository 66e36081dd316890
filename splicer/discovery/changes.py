"""The log of endpoints that come and go: one line a second at most for each Service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
from attrs import define, field

from splicer.observe.log import Logger
from splicer.policy.endpoint_flags import READY, KnownEndpoint

_INTERVAL = 1.0  # seconds between two lines
_NAMES = 10  # in a line


@define
class _Pending:
    added: dict[str, None] = field(factory=dict)
    removed: dict[str, None] = field(factory=dict)
    ready: int = 0


class Changes:
    """Logs changes.

    Args:
        log: the logger.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._pending: dict[str, _Pending] = {}
        self._something = trio.Event()

    def note(self, service: str, before: Iterable[KnownEndpoint], after: Iterable[KnownEndpoint]) -> None:
        """Note the endpoints of a Service before and after a change."""
        was, now = _names(before), _names(after)
        ready = sum(now.values())
        if was == now:
            return
        pending = self._pending.setdefault(service, _Pending())
        for name in now.keys() - was.keys():
            _move(name, pending.removed, pending.added)
        for name in was.keys() - now.keys():
            _move(name, pending.added, pending.removed)
        pending.ready = ready
        self._something.set()

    async def run(self) -> None:
        """Write the lines, until cancelled."""
        while True:
            await self._something.wait()
            self._something = trio.Event()
            pending, self._pending = self._pending, {}
            for service, change in pending.items():
                added, removed = _listed("added", change.added), _listed("removed", change.removed)
                self._log.info("endpoints_changed", service=service, **added, **removed, ready=change.ready)
            await trio.sleep(_INTERVAL)


def _names(endpoints: Iterable[KnownEndpoint]) -> dict[str, bool]:
    """Each with whether it is ready."""
    return {f"{each.pod or each.address} {each.address}": bool(each.flags & READY) for each in endpoints}


# What comes and goes within a second has not changed.
def _move(name: str, undone: dict[str, None], done: dict[str, None]) -> None:
    if name in undone:
        del undone[name]
    else:
        done[name] = None


def _listed(word: str, names: dict[str, None]) -> dict[str, Any]:
    listed = [name.partition(" ")[0] for name in sorted(names)[:_NAMES]]
    return {word: listed} if len(names) <= _NAMES else {word: listed, f"{word}_count": len(names)}
