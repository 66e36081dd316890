"""Whether a failed attempt may be followed by another (design §6)."""

from __future__ import annotations

from splicer.errors import SplicerError

# RFC 9110 §9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


# A request that a pod may have acted upon is never sent twice unless doing it twice is as good as once, and a body
# is never sent in part: it can be repeated whole, or the attempt was the only one.
def may_try_again(failure: SplicerError, method: str, *, written: bool, repeatable: bool) -> bool:
    """Whether to try another endpoint after `failure`.

    Args:
        failure: how the attempt ended.
        method: the request's.
        written: at least one byte of the request was written to a pod.
        repeatable: the body, as far as it was read from the client, is still at hand.
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
