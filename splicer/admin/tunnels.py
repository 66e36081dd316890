"""Listing and ending live tunnels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import trio

from splicer.admin.dispatch import Refused, Request, in_json
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.workers import Workers
from splicer.ipc.codec import to_object
from splicer.ipc.queries import AskTunnels, CloseTunnel, TunnelRow
from splicer.model import Respond

_MOVE_TIMEOUT = 4.0  # seconds for a call to move from one worker to the next
_RETRY_INTERVAL = 0.05  # seconds between two questions


class Tunnels:
    """Handlers for tunnels.

    Args:
        workers: asked for their tunnels.
        facts: the supervisor's last facts, for the number of workers.
    """

    def __init__(self, workers: Workers, facts: SupervisorStatus) -> None:
        self._workers = workers
        self._facts = facts

    async def show(self, asked: Request) -> Respond:
        """All tunnels, or those of a route or a pod; the oldest comes first."""
        route, pod = asked.one("route"), asked.one("pod")
        answers = await self._workers.ask(AskTunnels)
        rows = [
            row
            for row in answers.rows
            if (route is None or row.route == route) and (pod is None or pod in (row.pod, address_of(row.endpoint)))
        ]
        rows.sort(key=lambda row: -row.age_s)
        return in_json({"tunnels": list(map(_listed, rows)), "missing_workers": answers.missing})

    # While one worker takes over from another, a live call may be in the vault only, and no worker has it.
    async def close(self, asked: Request) -> Respond:
        """End a tunnel.

        Raises:
            Refused: no worker has it, or a worker that may have it does not answer.
        """
        missing: list[int] = []
        with trio.move_on_after(_MOVE_TIMEOUT):
            while True:
                answers = await self._workers.ask(partial(CloseTunnel, id=asked.part))
                missing = answers.missing
                if answers.rows:
                    return in_json(to_object(answers.rows[0]))
                if not missing and self._workers.settled(self._facts.now.workers):
                    break
                await trio.sleep(_RETRY_INTERVAL)
        if missing:
            raise Refused(
                503, f"no tunnel {asked.part[:100]!r} in those workers that answer; {no_answer_from(missing)}"
            )
        raise Refused(404, f"no tunnel {asked.part[:100]!r}")


# A rate is a difference of two looks, and this is one.
def _listed(row: TunnelRow) -> dict[str, Any]:
    return {key: value for key, value in to_object(row).items() if key != "rate"}


def address_of(endpoint: str | None) -> str:
    """The address of a tunnel's endpoint; "" if it is unknown."""
    return (endpoint or "").rpartition(":")[0].strip("[]")


def no_answer_from(missing: Iterable[int]) -> str:
    """The end of a message that names the workers that did not answer."""
    return f"no answer from worker {', '.join(map(str, missing))}"
