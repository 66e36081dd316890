"""Rows of EndpointSlices as endpoints of the snapshot: what is new, and since when each is ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from splicer.policy.endpoint_flags import READY, SERVING, TERMINATING, KnownEndpoint
from splicer.policy.slices import Row
from splicer.policy.tiers import Key


@frozen
class Told:
    """What the rows of a Service have told.

    Args:
        endpoints: all, in the order of the rows.
        uids: the uid of each one's pod, by address and port.
    """

    endpoints: tuple[KnownEndpoint, ...]
    uids: Mapping[Key, str | None]


def told_by(
    rows: Iterable[Row], before: Iterable[KnownEndpoint] | None, uids: Mapping[Key, str | None], now: float
) -> Told:
    """Convert rows.

    Args:
        rows: of one Service at one port.
        before: the endpoints before; None: none were known, so that nobody is new.
        uids: those before.
        now: on the monotonic clock, seconds.
    """
    known = {(each.address, each.port): each for each in before or ()}
    endpoints, later = [], {}
    for row in rows:
        key = row.address, row.port
        old, uid = known.get(key), uids.get(key)
        other = uid is not None and uid != row.uid
        since = 0.0
        if row.ready and before is not None:
            since = old.since if old is not None and old.flags & READY and not other else now
        later[key] = row.uid
        flags = READY * row.ready | SERVING * row.serving | TERMINATING * row.terminating
        endpoints.append(KnownEndpoint(row.pod or "", *key, flags, row.zone or "", since))
    return Told(tuple(endpoints), later)
