"""`/events`: the state of the edge and its calls, as server-sent events (HTML Living Standard §9.2).

Everything is computed once for all who look, and only while somebody does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

import trio
from attrs import define, field, frozen

from splicer.admin.dispatch import Refused, Request
from splicer.admin.tunnels import address_of
from splicer.admin.workers import Answers, Workers
from splicer.errors import BadRequest
from splicer.ipc.codec import to_object
from splicer.ipc.queries import SORTS, AskPlaces, AskTunnels, PlaceRow, TunnelRow

QUERY = ("tunnels", "sort", "route", "pod")
_STATE_INTERVAL = 1.0  # seconds
_STATES_BETWEEN_TUNNELS = 2  # a list of calls comes with every second state
_MOST_STREAMS = 8
_MOST_TUNNELS = 1000
_BEGINNING = b"retry: 2000\n\n"  # milliseconds until a browser tries again


class Pictures(Protocol):
    """Makes the state; see `picture.Picture`."""

    async def state(self, places: Answers[PlaceRow]) -> dict[str, Any]:
        """The state now.

        Args:
            places: where the calls are.
        """
        ...

    def forget(self) -> None:
        """Forget the last looks."""


@frozen
class _Wish:
    """The calls that a looker wants to see."""

    most: int
    sort: str
    route: str | None
    pod: str | None


def _wish(asked: Request) -> _Wish:
    number = asked.one("tunnels") or "200"
    if not number.isascii() or not number.isdecimal() or not 1 <= int(number[:9]) <= _MOST_TUNNELS:
        raise BadRequest(f"tunnels must be a number from 1 to {_MOST_TUNNELS}, not {number[:100]!r}")
    sort = asked.one("sort") or "age"
    if sort not in SORTS:
        raise BadRequest(f"sort must be one of {', '.join(SORTS)}, not {sort[:100]!r}")
    return _Wish(int(number), sort, asked.one("route"), asked.one("pod"))


_Shown = dict[str, Any]
_MEASURES: dict[str, Callable[[_Shown], float]] = {
    "age": lambda row: row["age_s"],
    "idle": lambda row: row["idle_s"],
    "rate": lambda row: row["rate"],
    "rtt": lambda row: max(row["client_rtt_ms"] or 0.0, row["pod_rtt_ms"] or 0.0),
    "retransmits": lambda row: max(row["client_retransmits"] or 0, row["pod_retransmits"] or 0),
}


@define(eq=False)
class _Looker:
    """One stream: what is to be sent next. A slow reader gets the newest alone."""

    wish: _Wish
    leave: Callable[[_Looker], None]
    pieces: dict[str, bytes] = field(factory=dict)
    news: trio.Event = field(factory=trio.Event)
    content_type: str = "text/event-stream"

    def tell(self, kind: str, data: bytes) -> None:
        self.pieces.pop(kind, None)
        self.pieces[kind] = data
        self.news.set()

    async def piece(self) -> bytes:
        """The next bytes."""
        while not self.pieces:
            self.news = trio.Event()
            await self.news.wait()
        kind = next(iter(self.pieces))
        return self.pieces.pop(kind)

    def close(self) -> None:
        """Nobody looks any more."""
        self.leave(self)


class Events:
    """The handler of the stream, and the task that computes it.

    Args:
        picture: makes the state.
        workers: asked for their tunnels.
        failed: called with what a bug has raised in a tick.
    """

    def __init__(self, picture: Pictures, workers: Workers, failed: Callable[[Exception], None]) -> None:
        self._picture = picture
        self._workers = workers
        self._failed = failed
        self._lookers: list[_Looker] = []
        self._somebody = trio.Event()

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return len(self._lookers)

    async def open(self, asked: Request) -> _Looker:
        """Open a stream.

        Raises:
            BadRequest: a parameter is wrong.
            Refused: there are too many streams.
        """
        wish = _wish(asked)
        if len(self._lookers) >= _MOST_STREAMS:
            raise Refused(503, f"{_MOST_STREAMS} streams are open: close another page")
        looker = _Looker(wish, self._lookers.remove)
        looker.tell("beginning", _BEGINNING)
        self._lookers.append(looker)
        self._somebody.set()
        return looker

    async def run(self) -> None:
        """Compute while somebody looks, until cancelled."""
        number = 0
        while True:
            if not self._lookers:
                self._picture.forget()
                self._somebody = trio.Event()
                await self._somebody.wait()
                number = 0
            began = trio.current_time()
            await self._guarded(partial(self._tick, with_calls=number % _STATES_BETWEEN_TUNNELS == 0))
            number += 1
            await trio.sleep_until(began + _STATE_INTERVAL)

    # A bug in the picture must not end the admin process, which has the metrics and the drains.
    async def _guarded(self, tell: Callable[[], Awaitable[None]]) -> None:
        try:
            await tell()
        except Exception as error:  # noqa: BLE001 - see above
            self._failed(error)

    # Workers choose the calls, so that those that nobody sees cost nothing here.
    async def _tick(self, *, with_calls: bool) -> None:
        places: list[Answers[PlaceRow]] = []
        wishes = {looker.wish: list[TunnelRow]() for looker in self._lookers} if with_calls else {}

        async def ask_places() -> None:
            places.append(await self._workers.ask(AskPlaces))

        async def ask_calls(wish: _Wish) -> None:
            wanted = partial(AskTunnels, most=wish.most, sort=wish.sort, route=wish.route, pod=wish.pod)
            wishes[wish] = (await self._workers.ask(wanted)).rows

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_places)
            for wish in wishes:
                nursery.start_soon(ask_calls, wish)
        [where] = places
        for wish, rows in wishes.items():
            self._tell("tunnels", _chosen(rows, where.rows, wish), [one for one in self._lookers if one.wish == wish])
            await trio.lowlevel.checkpoint()
        self._tell("state", await self._picture.state(where), self._lookers)

    def _tell(self, kind: str, value: Any, lookers: Iterable[_Looker]) -> None:
        data = _event(kind, value)
        for looker in lookers:
            looker.tell(kind, data)


# A worker of an older version sends all its calls.
def _chosen(rows: Iterable[TunnelRow], places: Iterable[PlaceRow], wish: _Wish) -> dict[str, Any]:
    shown = [
        {**to_object(row), "address": address_of(row.endpoint), "rate": round(row.rate or 0.0)}
        for row in rows
        if _is_wanted(wish, row.route, row.pod, row.endpoint)
    ]
    shown.sort(key=_MEASURES[wish.sort], reverse=True)
    found = sum(one.tunnels for one in places if _is_wanted(wish, one.route, one.pod, one.endpoint))
    total = sum(one.tunnels for one in places)
    del shown[wish.most :]
    return {"total": max(total, len(shown)), "found": max(found, len(shown)), "tunnels": shown}


def _is_wanted(wish: _Wish, route: str | None, pod: str, endpoint: str | None) -> bool:
    return (wish.route is None or route == wish.route) and (wish.pod is None or wish.pod in (pod, address_of(endpoint)))


def _event(kind: str, value: Any) -> bytes:
    data = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()
