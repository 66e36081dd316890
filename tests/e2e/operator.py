"""What an operator has: the admin address of an edge, and the text for Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import Factory, define, frozen
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.edge import Edge, session_of
from tests.kit.fleet import several
from tests.kit.http import Message
from tests.kit.site import Site, free_port
from tests.kit.wire import TIMEOUT, EndOfStream, ask, until
from tests.kit.workers import kill_and_see

_POLL_INTERVAL = 0.05  # seconds between two looks
_SCRAPE_MAX_AGE_SECONDS = 1.05  # seconds
_COUNTING = ("_total", "_bucket", "_count", "_sum")
_GONE = (EndOfStream, trio.BrokenResourceError)

Series = tuple[str, frozenset[tuple[str, str]]]


def observed(
    site: Site,
    workers: int = 2,
    *,
    metrics: bool = False,
    routes: str = "",
    deadlines: str = "",
    extra: str = "",
) -> str:
    """A routing.toml with an admin address.

    Args:
        site: what it knows.
        workers: how many.
        metrics: whether there is an address for a scraper, too.
        routes: see `Site.toml`, as for the rest.
        deadlines: see there.
        extra: see there.
    """
    admin = f"127.0.0.1:{free_port()}"
    text = several(site, workers, admin=admin, routes=routes, deadlines=deadlines, extra=extra)
    return text.replace("[deadlines]", f'metrics = "127.0.0.1:{free_port()}"\n[deadlines]', 1) if metrics else text


def address_of(edge: Edge, key: str = "admin") -> tuple[str, int]:
    """The admin address; or `key`'s."""
    host, _, port = edge.path.read_text().partition(f'{key} = "')[2].partition('"')[0].partition(":")
    return host, int(port)


async def ask_admin(edge: Edge, method: str, target: str, body: Any = None, *fields: str) -> Message:
    """A request to the admin address; `body` goes as JSON."""
    data = b"" if body is None else json.dumps(body).encode()
    return await ask(address_of(edge), method, target, *fields, host="127.0.0.1", body=data)


async def see(edge: Edge, target: str) -> Any:
    """What a page says."""
    reply = await ask_admin(edge, "GET", target)
    assert reply.status == 200, reply
    assert reply.values("Content-Type") == [b"application/json"]
    return json.loads(reply.body)


async def see_until(edge: Edge, target: str, done: Callable[[Any], bool]) -> Any:
    """Look at a page again and again until it is the one."""
    said = None
    with trio.move_on_after(TIMEOUT):
        while not done(said := await see(edge, target)):  # noqa: ASYNC110 - see `until`
            await trio.sleep(_POLL_INTERVAL)
        return said
    raise AssertionError(f"{target} still says {said}")


async def listed(edge: Edge) -> dict[str, dict[str, Any]]:
    """The live tunnels by their paths."""
    said = await see(edge, "/tunnels")
    assert said["missing_workers"] == []
    rows = {row["path"]: row for row in said["tunnels"]}
    assert len(rows) == len(said["tunnels"])
    return rows


async def kill_admin(edge: Edge) -> None:
    """SIGKILL the admin process; what is asked from then on, another one will answer."""
    [pid] = await until(lambda: [pid for pid, title in session_of(edge.pid) if title == "splicer: admin"])
    await kill_and_see(pid)
    await edge.line("admin_died", pid=pid)


@frozen
class Scrape:
    """One text, read by Prometheus' own parser."""

    families: dict[str, Metric]
    values: dict[Series, float]

    @classmethod
    def of(cls, text: str) -> Scrape:
        families, values = {}, {}
        for family in text_string_to_metric_families(text):
            assert family.name not in families, f"{family.name} is there twice"
            families[family.name] = family
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                assert series not in values, f"{series} is there twice"
                values[series] = sample.value
        return cls(families, values)

    def total(self, name: str, /, **labels: str) -> float:
        """The sum of all samples of this name (without its prefix) that have these labels."""
        name = f"splicer_{name}"
        assert any(name == its for its, _ in self.values), f"there is no {name}"
        return sum(
            value for (its, of), value in self.values.items() if its == name and labels.items() <= dict(of).items()
        )

    def has(self, name: str, /, **labels: str) -> bool:
        """Whether there is a sample of this name (without its prefix) that has these labels."""
        return any(f"splicer_{name}" == its and labels.items() <= dict(of).items() for its, of in self.values)

    @property
    def counts(self) -> dict[Series, float]:
        """All samples of counters and histograms."""
        return {series: value for series, value in self.values.items() if series[0].endswith(_COUNTING)}


async def scrape(edge: Edge, key: str = "admin") -> Scrape:
    """What Prometheus reads a second after the last scrape: until then it would get the same again."""
    await trio.sleep(max(0.0, edge.scraped + _SCRAPE_MAX_AGE_SECONDS - time.monotonic()))
    reply = await ask(address_of(edge, key), "GET", "/metrics", host="127.0.0.1")
    edge.scraped = time.monotonic()
    assert reply.status == 200, reply
    return Scrape.of(reply.body.decode())


async def scrape_until(edge: Edge, done: Callable[[Scrape], bool]) -> Scrape:
    """Scrape again and again until it is the one."""
    with trio.move_on_after(TIMEOUT):
        while not done(now := await scrape(edge)):  # noqa: ASYNC110 - see `until`
            await trio.sleep(_POLL_INTERVAL)
        return now
    raise AssertionError("no scrape is the one")


async def no_tunnel_is_left(edge: Edge) -> Scrape:
    """Wait until all are over."""
    return await scrape_until(edge, lambda now: now.total("tunnels_active") == 0)


@define
class Growth:
    """What has been counted from one scrape to another."""

    before: Scrape
    after: Scrape

    def __call__(self, name: str, /, **labels: str) -> float:
        return self.after.total(name, **labels) - self.before.total(name, **labels)


@define
class Watch:
    """Scrapes all the time; no count may ever fall or vanish.

    Args:
        scrapes: so many so far.
        falls: what did.
    """

    scrapes: int = 0
    falls: list[tuple[Series, float, float | None]] = Factory(list)
    _last: dict[Series, float] = Factory(dict)

    async def run(self, edge: Edge) -> None:
        """Watch until cancelled."""
        while True:
            try:
                self._compare((await scrape(edge)).counts)
            except _GONE:  # the admin process was killed at work
                continue
            await trio.sleep(_POLL_INTERVAL)

    def _compare(self, now: dict[Series, float]) -> None:
        self.scrapes += 1
        for series, value in self._last.items():
            if now.get(series, -1.0) < value:
                self.falls.append((series, value, now.get(series)))
        self._last = now


@asynccontextmanager
async def watched(edge: Edge) -> AsyncIterator[Watch]:
    """Scrape all the while."""
    watch = Watch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run, edge)
        yield watch
        await until(lambda: watch.scrapes > 1)
        nursery.cancel_scope.cancel()
    assert not watch.falls
