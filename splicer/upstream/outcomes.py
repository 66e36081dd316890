"""What is reported of requests, for upstreams with `outlier_detection` or `health_check`."""

from __future__ import annotations

from typing import Protocol

from splicer.errors import BadAnswer, HandshakeTimeout, PodClosed, PodReset, SplicerError, UnwantedStatus
from splicer.model import Endpoint, Upstream
from splicer.upstream.pod import PodLeg


class Outcomes(Protocol):
    """Is told of requests at the endpoints of upstreams that are judged or checked. No method may wait."""

    def failed(self, upstream: Upstream, endpoint: Endpoint, reason: str) -> None:
        """An error of the endpoint's.

        Args:
            upstream: the upstream through which the request went.
            endpoint: where it failed.
            reason: an error's `reason`, or "status".
        """
        ...

    def succeeded(self, endpoint: Endpoint) -> None:
        """A request was answered."""
        ...

    def used(self, upstream: Upstream, host: str, endpoint: Endpoint) -> None:
        """A request goes to a pod that the URL has named.

        Args:
            upstream: the upstream, which has captures.
            host: its host, rendered.
            endpoint: the first to try.
        """
        ...


class NoOutcomes:
    """Nobody is interested."""

    def failed(self, upstream: Upstream, endpoint: Endpoint, reason: str) -> None:
        """See `Outcomes`."""

    def succeeded(self, endpoint: Endpoint) -> None:
        """See `Outcomes`."""

    def used(self, upstream: Upstream, host: str, endpoint: Endpoint) -> None:
        """See `Outcomes`."""


NO_OUTCOMES: Outcomes = NoOutcomes()


# Whatever comes after the head says nothing of the endpoint (envoy#24690): a call that ends by a FIN is no error.
def report_answer(outcomes: Outcomes, upstream: Upstream, endpoint: Endpoint, status: int) -> None:
    """Report the head of an answer: a verified 101, or a final status.

    Args:
        outcomes: is told.
        upstream: the upstream.
        endpoint: which has answered.
        status: the answer's.
    """
    if upstream.outlier_detection is None:
        return
    if status in upstream.outlier_detection.statuses:
        outcomes.failed(upstream, endpoint, UnwantedStatus.reason)
    else:
        outcomes.succeeded(endpoint)


def report_connected(outcomes: Outcomes, upstream: Upstream, endpoint: Endpoint) -> None:
    """Report a connection of which the edge sees no more: the bytes on it are not its own.

    Args:
        outcomes: is told.
        upstream: the upstream.
        endpoint: which has accepted.
    """
    if upstream.outlier_detection is not None:
        outcomes.succeeded(endpoint)


# A failed connect is reported where it is made: one attempt may dial several endpoints.
def report_failure(outcomes: Outcomes, upstream: Upstream, leg: PodLeg | None, failure: SplicerError) -> None:
    """Report that there was no acceptable answer, if that is an error of the endpoint's.

    Args:
        outcomes: is told.
        upstream: the upstream.
        leg: the connection; None: there was none.
        failure: why the attempt failed.
    """
    if upstream.outlier_detection is None or leg is None:
        return
    match failure:
        case UnwantedStatus(answered=status):
            report_answer(outcomes, upstream, leg.endpoint, status)
        case PodReset() | PodClosed() if leg.reused:
            return  # the pod had closed an idle connection
        case PodReset() | PodClosed() | HandshakeTimeout() | BadAnswer():
            outcomes.failed(upstream, leg.endpoint, failure.reason)
