"""How long the supervisor's loop may wait for its descriptors.

Each turn takes processor time from the calls, whose workers share the processor. So in the usual state, in which
everything that can happen has a descriptor, there is a turn a second.
"""

from __future__ import annotations

import math

from splicer.supervisor.edge_state import EdgeState

TICK = 0.1  # seconds between two turns while a process is missing, or is being replaced
_BUSY_TICK = 0.02  # the same while something is awaited that has no descriptor


def longest_wait(edge: EdgeState, *, reloading: bool) -> float:
    """Seconds until the next turn; the loop itself has regular work besides.

    Args:
        edge: the edge's state.
        reloading: whether a reload or an upgrade is in progress.
    """
    if edge.steps or not (edge.workers.complete and edge.tls.complete):
        return _BUSY_TICK
    return TICK if reloading or _lacks_a_process(edge) else math.inf


# Whether a process has to be started: maybe after a pause, whose end nothing tells.
def _lacks_a_process(edge: EdgeState) -> bool:
    return (
        edge.workers.missing > 0
        or edge.template.is_missing
        or any(process.is_missing for process in edge.side_processes)
    )
