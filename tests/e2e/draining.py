"""Drains by the admin API: orders, and calls that are placed meanwhile."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.operator import ask_admin, observed
from tests.kit.calls import handshake
from tests.kit.edge import Edge
from tests.kit.fleet import only
from tests.kit.http import Message
from tests.kit.site import Site
from tests.kit.wire import dial, until
from tests.kit.workers import worker_pids

SHARED = 6  # pods behind one name, of which no URL chooses one
_ROUTES = """
[upstreams.shared]
address = "shared.test:%d"
allow = ["127.0.0.0/8"]
[[routes]]
name = "shared"
regex = '^/shared/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"
fallback = "shared"
[[routes]]
name = "any"
prefix = "/any/"
upgrade = ["websocket"]
upstream = "shared"
"""


def text(site: Site) -> str:
    """Besides the general routes /shared/{pod}/ with the shared name as its fallback, and /any/ for that alone."""
    shared = [f"{site.net}.{number}" for number in range(1, SHARED + 1)]
    whole = observed(site, routes=_ROUTES % site.port)
    return whole.replace("[resolver.hosts]", f'[resolver.hosts]\n"shared.test" = {json.dumps(shared)}', 1)


async def drain(edge: Edge, body: dict[str, str] | None) -> list[dict[str, Any]]:
    reply = await ask_admin(edge, "POST", "/drain", body)
    assert reply.status == 200, reply
    drains: list[dict[str, Any]] = json.loads(reply.body)["drains"]
    return drains


async def lift(edge: Edge, body: dict[str, str] | None) -> list[dict[str, Any]]:
    reply = await ask_admin(edge, "DELETE", "/drain", body)
    assert reply.status == 200, reply
    drains: list[dict[str, Any]] = json.loads(reply.body)["drains"]
    return drains


async def ring(edge: Edge, target: str) -> Message:
    """A handshake, and its answer."""
    async with dial(edge.address) as wire:
        await wire.send(handshake(target))
        return await wire.reply()


async def ring_at_each(edge: Edge, target: str) -> list[Message]:
    """One at each worker."""
    await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
    replies = []
    for slot in (1, 2):
        with only(edge, slot):
            replies.append(await ring(edge, target))
    return replies
