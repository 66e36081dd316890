"""`authorize`: another server is asked whether a request may go on, and to which pod."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from attrs import define, frozen

from splicer.errors import Side, SplicerError

U = TypeVar("U")

_Headers = tuple[tuple[bytes, bytes], ...]
OnFailure = Literal["refuse", "fallback", "allow"]


@frozen
class Authorize(Generic[U]):
    """A route's `authorize` table.

    Args:
        upstream: where the authorizer is: an upstream's name in the file, the upstream itself in a route.
        path: the target of the question.
        captures: pairs of a capture's name and the header of the answer that gives it.
        headers: the headers of the answer that replace the client's towards the pod.
        send: the client's headers that the authorizer gets; None: all that say something about the client.
        on_failure: what happens to the request without a usable answer.
    """

    upstream: U
    path: str
    captures: tuple[tuple[str, str], ...] = ()
    headers: tuple[str, ...] = ()
    send: tuple[str, ...] | None = None
    on_failure: OnFailure = "refuse"

    @property
    def names(self) -> frozenset[str]:
        """The names of its captures."""
        return frozenset(name for name, _ in self.captures)


@define
class AuthorizeOutcome:
    """How the question to an authorizer went, filled in while it is asked.

    Args:
        endpoint: the endpoint that was asked; None if none was dialled.
        status: of the answer; None without one.
        failure: None if the request may go on, "abandoned" if it ended first, else an error's `reason`.
        detail: one more line about the failure.
        seconds: from the lookup to the answer.
        started: when it began, on the monotonic clock, seconds.
        upstream: the name of the authorizer's upstream.
        target: host, port and path that were asked.
        span: the id of its span; "": requests aren't traced.
    """

    endpoint: str | None = None
    status: int | None = None
    failure: str | None = "abandoned"
    detail: str | None = None
    seconds: float = 0.0
    started: float = 0.0
    upstream: str = ""
    target: str = ""
    span: str = ""


class AuthorizeFailed(SplicerError):
    """The authorizer can't be reached, or its answer is of no use."""

    status = 503
    reason = "authorize_failed"


class AuthorizeTimeout(AuthorizeFailed):
    """The authorizer didn't answer within `deadlines.authorize`."""

    status = 504
    reason = "authorize_deadline"


class AuthorizeDenied(SplicerError):
    """The authorizer refuses the request; its answer goes to the client.

    Args:
        status: of its answer.
        phrase: the reason phrase.
        headers: the fields in order.
        body: the whole body; None if it was too long, broken or late, and is left out.
    """

    side = Side.CLIENT
    status = 403
    reason = "authorize_denied"

    def __init__(
        self, status: int, phrase: bytes, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None
    ) -> None:
        super().__init__(f"the authorizer answered {status}")
        self.status = status
        self.phrase = phrase
        self.headers = headers
        self.body = body
