"""What an API server, or what is between it and its client, does wrong on command."""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field

from tests.kit.kubernetes import statuses
from tests.kit.kubernetes.resources import Thing

Where = Literal["list", "watch", "any"]
Kind = Literal[
    "answer",  # an HTTP answer of another status (`status`, `retry_after`)
    "too_large",  # 504 with the cause ResourceVersionTooLarge
    "reset",  # the connection is closed instead of an answer
    "cut",  # the connection is closed after so many bytes of the body (`size`)
    "short",  # a watch ends in order at once
    "half_line",  # half a line, then the body ends in order
    "long_line",  # a line of so many bytes (`size`)
    "garbage",  # a line that is no JSON
    "error",  # an ERROR event (`status`) in mid-stream, then the end in order
]
LONG = 5_000_000  # bytes


@define
class Fault:
    """It is done `times` times, to requests of one kind."""

    kind: Kind
    where: Where = "any"
    times: int = 1
    status: int = 500
    retry_after: int | None = None
    size: int = 0


@define
class Faults:
    """Those that wait for a request; who asks first gets the first one that fits."""

    waiting: list[Fault] = field(factory=list)

    def take(self, where: Where) -> Fault | None:
        for fault in self.waiting:
            if fault.where in (where, "any") and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def add(self, **how: Any) -> None:
        self.waiting = [fault for fault in self.waiting if fault.times > 0]
        self.waiting.append(Fault(**how))


def refusal(fault: Fault, namespace: str, verb: str, asked: int, present: int) -> Thing:
    """The Status object of an `answer`, `too_large` or `error`."""
    if fault.kind == "too_large":
        return statuses.too_large(asked, present)
    match fault.status:
        case 401:
            return statuses.unauthorized()
        case 403:
            return statuses.forbidden("system:serviceaccount:voice:splicer", namespace, verb)
        case 410:
            return statuses.expired_watch(asked, present)
        case 429:
            return statuses.too_many(fault.retry_after or 1)
        case 500:
            return statuses.internal()
        case code:
            return statuses.status(code, f"no good: {code}")
