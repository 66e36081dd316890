"""The keys of ``[deadlines]``, and of the `deadlines` by which a route overrides them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from splicer.config.keys import Key
from splicer.config.kinds import DURATION, Kind, refused
from splicer.config.reader import Reader
from splicer.model import Deadlines

DEADLINES = Reader(
    Deadlines,
    {
        "head": Key(
            DURATION,
            "From the first byte of a request to the end of its head, however slowly it comes; then 408. A new "
            "connection that sends nothing is closed after the same time.",
        ),
        "resolve": Key(DURATION, "One lookup of a name; then the fallback, or 504."),
        "connect": Key(
            DURATION,
            "One connection to a pod, over all addresses of its name, which are dialled 250 ms apart; then the "
            "fallback, or 504.",
        ),
        "handshake": Key(
            DURATION, "From the request, with its body, to the head of the pod's answer; then the fallback, or 504."
        ),
        "authorize": Key(
            DURATION, "The question to a route's authorizer, with its lookup and connection; then `on_failure`."
        ),
        "attempts": Key(
            DURATION,
            "All lookups, connections and handshakes of one request together, without the time in which the client "
            "sends its body; then 504.",
        ),
        "response": Key(
            DURATION,
            "A whole exchange of plain HTTP; then 504 (408 if the client's body is missing), or the answer breaks off. "
            "By default an answer that flows is not cut.",
        ),
        "response_idle": Key(
            DURATION,
            "The wait for the next piece of a pod's answer of plain HTTP, or for a client to take it; then the answer "
            "breaks off.",
        ),
        "body_idle": Key(DURATION, "The wait between two pieces of a request's body; then 408."),
        "idle": Key(DURATION, "The time in a call without a byte from either side; then it is closed."),
        "half_closed": Key(DURATION, "The same after one side has closed its half of the connection."),
        "lifetime": Key(DURATION, "A whole call; then it is closed."),
        "keepalive": Key(DURATION, "A client's idle connection between two requests; then it is closed."),
        "drain": Key(DURATION, "From SIGTERM, the time in which calls may finish; then they are closed."),
        "tls": Key(DURATION, "A client's TLS handshake, before `head` begins; then it is closed."),
    },
)

_NOT_OF_A_ROUTE = {
    "tls": "runs before a route is known; write it under [deadlines]",
    "head": "runs before a route is known; write it under [deadlines]",
    "drain": "is the whole edge's; write it under [deadlines]",
}
_OF_A_ROUTE = Reader(
    Deadlines,
    DEADLINES.keys | {name: Key(refused(why), f"Not here: it {why}.") for name, why in _NOT_OF_A_ROUTE.items()},
)


def _parse(value: object) -> dict[str, float]:
    """The deadlines that a route overrides, in seconds."""
    given = _OF_A_ROUTE(value)
    return {name: getattr(given, name) for name in value} if isinstance(value, dict) else {}


def _format(deadlines: Mapping[str, float]) -> dict[str, str]:
    return {name: DURATION.format(seconds) for name, seconds in deadlines.items()}


def of_a_route(deadlines: Deadlines) -> dict[str, float]:
    """A route's deadlines without those that a route can't set."""
    return {name: seconds for name, seconds in attrs.asdict(deadlines).items() if name not in _NOT_OF_A_ROUTE}


ROUTE_DEADLINES: Kind[Mapping[str, float]] = Kind(
    _parse, _format, _OF_A_ROUTE.schema(defaults=False), "table of deadlines"
)


def of_some_keys(names: Iterable[str]) -> Kind[Mapping[str, float]]:
    """A table of some of the deadlines, in seconds, where no others mean anything."""
    reader = Reader(Deadlines, {name: DEADLINES.keys[name] for name in names})

    def parse(value: object) -> dict[str, float]:
        given = reader(value)
        return {name: getattr(given, name) for name in value} if isinstance(value, dict) else {}

    return Kind(parse, _format, reader.schema(defaults=False), "table of deadlines")
