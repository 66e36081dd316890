"""Calls of an edge with a vault of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.kit.edge import Edge, Line
from tests.kit.fleet import echoes, tunnel_at
from tests.kit.site import Place
from tests.kit.vaults import Vault
from tests.kit.wire import Wire, until


def of_workers(edge: Edge, event: str) -> list[Line]:
    """Such lines of those that have tunnels: neither the supervisor's nor the spare's."""
    return [line for line in edge.find(event) if line.get("tunnels")]


@asynccontextmanager
async def calls(edge: Edge, place: Place) -> AsyncIterator[list[Wire]]:
    """A call at each worker; in the end they still work."""
    async with AsyncExitStack() as stack:
        slots = (1, 2)
        wires = [await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/{slot}")) for slot in slots]
        yield wires
        for wire in wires:
            await echoes(wire)


async def all_are_held(vault: Vault, count: int) -> None:
    """The vault knows of so many tunnels."""
    await until(lambda: vault.tunnels() == count)
