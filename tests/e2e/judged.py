"""An edge that judges and checks endpoints, and what its tests look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.e2e.operator import observed, scrape_until
from tests.kit.calls import handshake
from tests.kit.edge import Edge, Line, running, session_of
from tests.kit.http import Message
from tests.kit.site import Place, Site
from tests.kit.unix_peers import joined
from tests.kit.wire import dial, until

_ROUTES = """
[upstreams.judged]
address = "{pod}.pods.test:PORT"
allow = ["127.0.0.0/8"]
JUDGED
[upstreams.group]
address = "group.test:PORT"
allow = ["127.0.0.0/8"]
GROUP
[upstreams.spare]
address = "NET.241:PORT"
[[routes]]
name = "call"
regex = '^/call/(?<pod>[^/]+)$'
upgrade = ["websocket"]
upstream = "judged"
fallback = "spare"
[[routes]]
name = "alone"
regex = '^/alone/(?<pod>[^/]+)$'
upgrade = ["websocket"]
upstream = "judged"
[[routes]]
name = "group"
prefix = "/group"
upstream = "group"
upgrade = ["websocket"]
"""


@contextmanager
def judged_edge(
    judged: str = "", group: str = "", *, members: int = 0, workers: int = 1, deadlines: str = ""
) -> Iterator[tuple[Edge, list[Place]]]:
    """Routes: /call/POD with a spare behind it, /alone/POD without, /group to the members.

    Args:
        judged: keys of the upstream of named pods.
        group: keys of the upstream of the members.
        members: how many there are; their places are returned.
        workers: how many.
        deadlines: lines for ``[deadlines]``.
    """
    site = Site(pods=20)
    places = [site.take() for _ in range(members)]
    routes = _ROUTES.replace("JUDGED", judged).replace("GROUP", group)
    routes = routes.replace("PORT", str(site.port)).replace("NET", site.net)
    text = observed(site, workers, routes=routes, deadlines=deadlines)
    addresses = ", ".join(f'"{place.address}"' for place in places) or '"127.0.0.1"'
    text = text.replace("[resolver.hosts]\n", f'[resolver.hosts]\n"group.test" = [{addresses}]\n')
    with running(text, site) as edge:
        yield edge, places


def discovery_pid(edge: Edge) -> int:
    """The discovery process; 0: there is none now."""
    return next((pid for pid, title in session_of(edge.pid) if title.startswith("splicer: discovery")), 0)


async def call(edge: Edge, target: str) -> Message:
    """A handshake, whose connection is closed after the answer."""
    async with dial(edge.address) as wire:
        await wire.send(handshake(target))
        return await wire.reply()


async def becomes(edge: Edge, value: float, name: str, /, **labels: str) -> None:
    """Wait until a metric has this value."""
    await scrape_until(edge, lambda now: now.total(name, **labels) == value)


def failures(line: Line) -> Sequence[str | None]:
    return [attempt["failure"] for attempt in line["attempts"]]


async def there(edge: Edge) -> int:
    """Wait for a discovery process that hears all workers, and return its pid; what happens before is lost."""
    return await until(lambda: pid if (pid := discovery_pid(edge)) and _hears_all(edge, pid) else 0)


def _hears_all(edge: Edge, discovery: int) -> bool:
    workers = [pid for pid, title in session_of(edge.pid) if title.startswith("splicer: worker")]
    return all(joined(discovery, worker) for worker in workers)
