"""An edge of several workers with short deadlines, and what its status page tells."""

from __future__ import annotations

from collections.abc import Iterable
from operator import ge

import trio

from tests.kit.edge import Edge
from tests.kit.fleet import only, several
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, Wire, dial, request

_ROUTES = "".join(
    f"""
[[routes]]
name = "{name}"
regex = '^/{name}/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
deadlines = {{ {deadline} = "%s" }}
"""
    for name, deadline in (("idle", "idle"), ("life", "lifetime"), ("half", "half_closed"))
)


def text(site: Site, extra: str = "", deadline: str = "5s") -> str:
    return several(site, routes=_ROUTES % (deadline, deadline, deadline), extra=extra)


async def status(wire: Wire) -> tuple[int, int, int, int]:
    """Of the stub_status page: active connections; accepted, handled, requests in all."""
    await wire.send(request("GET", "/status"))
    words = (await wire.reply()).body.split()
    return int(words[2]), int(words[7]), int(words[8]), int(words[9])


async def status_at(edge: Edge, slot: int) -> tuple[int, int, int, int]:
    with only(edge, slot):
        async with dial(edge.address) as wire:
            return await status(wire)


async def status_until(edge: Edge, slot: int, active: int, least: Iterable[int] = ()) -> tuple[int, int, int, int]:
    """When there are so many connections, of which one is the asker's, and at least these totals."""
    with trio.fail_after(TIMEOUT):
        while True:
            now = await status_at(edge, slot)
            if now[0] == active and all(map(ge, now[1:], least)):
                return now
            await trio.sleep(0.05)  # each shows its numbers to the others only now and then
