"""The plan of the attempts for one request: its steps, and the rules for another one (design §6)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import evolve, frozen

from splicer.endpoint_errors import PodUnusable
from splicer.errors import NameNotFound, NoEndpoint, PodClosed, PodDraining, PodReset, ResolveFailed, SplicerError
from splicer.limit_errors import EndpointFull
from splicer.model import Upstream
from splicer.quick_frozen import quick_frozen

# RFC 9110 §9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# A retry at the same upstream would meet these failures again.
_NO_ENDPOINT = (NameNotFound, ResolveFailed, NoEndpoint, PodDraining, EndpointFull, PodUnusable)


class Left(Enum):
    """The endpoints of an upstream that a retry could go to."""

    NONE = auto()  # every endpoint was tried, or nothing is known
    SAME = auto()  # the upstream has one endpoint, and no pod's name is in its address
    OTHER = auto()  # one that was not tried


@quick_frozen
class Step:
    """One request to one upstream.

    Args:
        upstream: the upstream.
        fallback: whether it is the route's fallback; its pod is told which pod failed.
        reusable: whether an idle connection may be used.
        again: whether the step belongs to the attempt before it, whose idle connection had been closed by the pod.
        retries: the retries at this upstream so far, this one included.
        same: whether the upstream's only endpoint is tried once more, after a pause.
    """

    upstream: Upstream
    fallback: bool = False
    reusable: bool = False
    again: bool = False
    retries: int = 0
    same: bool = False


@frozen
class Progress:
    """The state of the request when a step fails.

    Args:
        method: the request's method.
        written: whether at least one byte of the request was written to a pod.
        repeatable: whether the body, as far as it was read from the client, is still buffered.
        answered: whether a part of an answer was sent to the client.
        spent: whether the time for all attempts is over.
        unheard: whether the step used an idle connection, and no byte came on it.
        left: the endpoints of the step's upstream that are left.
    """

    method: str
    written: bool
    repeatable: bool
    answered: bool
    spent: bool
    unheard: bool
    left: Left = Left.NONE


@quick_frozen
class Plan:
    """One attempt at the route's upstream, then one at its fallback; at each of them as many retries as the route has.

    The plan has no state: the next step depends only on the last step and its failure. So one may ask for it before the
    failure is certain.

    Args:
        upstream: the route's upstream.
        fallback: the route's fallback; None if it has none.
        reusable: whether the request may use idle connections (`may_ride_idle`).
        retries: the retries at one upstream, each at another endpoint.
        skip: whether the fallback gets the first attempt, and the upstream none.
    """

    upstream: Upstream
    fallback: Upstream | None
    reusable: bool
    retries: int = 0
    skip: bool = False

    @property
    def first(self) -> Step:
        """The first step."""
        if self.skip and self.fallback is not None:
            return Step(self.fallback, fallback=True, reusable=self.reusable)
        return Step(self.upstream, reusable=self.reusable)

    def is_own(self, upstream: Upstream) -> bool:
        """Whether an upstream would fall back to itself, as one of several may; that helps if it has more endpoints."""
        return upstream == self.fallback

    # The end of an idle connection without a byte says nothing about the pod, which had closed it (RFC 9112 §9.3.1).
    def after(self, step: Step, failure: SplicerError, progress: Progress) -> Step | None:
        """The step after a failed one; None: the request fails."""
        if step.reusable and progress.unheard and isinstance(failure, (PodReset, PodClosed)):
            return evolve(step, reusable=False, again=True)
        if progress.answered or progress.spent:
            return None
        if not may_try_again(failure, progress.method, written=progress.written, repeatable=progress.repeatable):
            return None
        if step.retries < self.retries and not isinstance(failure, _NO_ENDPOINT):
            same = progress.left is Left.SAME
            if progress.left is Left.OTHER or (same and not step.same):
                return Step(step.upstream, step.fallback, self.reusable, retries=step.retries + 1, same=same)
        if step.fallback or self.fallback is None:
            return None
        if self.is_own(step.upstream) and (progress.left is not Left.OTHER or isinstance(failure, EndpointFull)):
            return None
        return Step(self.fallback, fallback=True, reusable=self.reusable)


# A request that a pod may have acted upon is sent again only if its method is idempotent, and a body is sent again only
# as a whole.
def may_try_again(failure: SplicerError, method: str, *, written: bool, repeatable: bool) -> bool:
    """Whether to try another endpoint after `failure`.

    Args:
        failure: how the attempt ended.
        method: the request's.
        written: at least one byte of the request was written to a pod.
        repeatable: the body, as far as it was read from the client, is still buffered.
    """
    if not failure.another_attempt_may_help:
        return False
    return not written or (repeatable and method in IDEMPOTENT)


def may_ride_idle(method: str, *, has_body: bool) -> bool:
    """Whether the request may use an idle pooled connection.

    The pod may close such a connection at the very moment it is used, and then only a request that can be repeated
    is safe (RFC 9112 §9.3.1). Others get a fresh connection: inside a cluster that costs a fraction of a millisecond,
    a lost webhook costs a call.
    """
    return method in IDEMPOTENT and not has_body
