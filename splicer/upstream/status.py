"""The state of endpoints: the outcome of the last attempt at each."""

from __future__ import annotations

import trio
from attrs import define, field

from splicer.record import AttemptOutcome

_REMEMBER_SECONDS = 600.0  # seconds after the last attempt
_MOST = 4096
# No fault of an endpoint's, or nothing was dialled.
_NOT_DIALLED = ("pod_draining", "endpoint_full", "pod_not_ready", "pod_unhealthy", "pod_ejected")
_SILENT = frozenset({"abandoned", "client_gone", "no_descriptor", *_NOT_DIALLED})


@define
class EndpointState:
    """The state of one endpoint of an upstream.

    Args:
        upstream: the upstream's name.
        endpoint: address and port.
        pod: the name of the endpoint's pod.
        failure: the failure of the last attempt, an error's `reason`; None if it succeeded.
        since: the end of the first of the attempts with this outcome, on the monotonic clock, seconds.
        last: the end of the last attempt, on the same clock.
    """

    upstream: str
    endpoint: str
    pod: str
    failure: str | None
    since: float
    last: float


@define
class EndpointStates:
    """Remembers for some time which endpoints could be reached."""

    _known: dict[tuple[str, str], EndpointState] = field(factory=dict, init=False)  # by upstream and endpoint

    def learn(self, attempt: AttemptOutcome) -> None:
        """Learn from an attempt that is over.

        The bytes after the head of the answer don't count: a call that ends badly says nothing about the endpoint.
        """
        if attempt.endpoint is None or attempt.failure in _SILENT:
            return
        now = trio.current_time()
        key = attempt.upstream, attempt.endpoint
        known = self._known.get(key)
        if known is not None and known.failure == attempt.failure:
            known.last = now
            return
        if known is None and len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = EndpointState(*key, attempt.pod or "", attempt.failure, now, now)

    def known(self) -> tuple[EndpointState, ...]:
        """The endpoints with a recent attempt; the others are forgotten."""
        now = trio.current_time()
        self._known = {key: state for key, state in self._known.items() if now - state.last <= _REMEMBER_SECONDS}
        return tuple(self._known.values())
