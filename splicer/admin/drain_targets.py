"""The targets of drains: the whole edge, known pods, and routes that can have calls."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from splicer.admin.current_config import CurrentConfig
from splicer.admin.dispatch import Refused
from splicer.admin.tunnels import address_of, no_answer_from
from splicer.admin.workers import Workers
from splicer.errors import BadRequest
from splicer.ipc.queries import AskEndpoints, AskTunnels

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*+"
)


class DrainTargets:
    """Checks the name of a drain's target.

    Args:
        workers: asked for pods, by their tunnels and attempts.
        current: the configuration in force.
    """

    def __init__(self, workers: Workers, current: CurrentConfig) -> None:
        self._workers = workers
        self._current = current

    async def check(self, scope: str, name: str) -> None:
        """Refuse a target that can't be drained.

        Args:
            scope: from `scope_of`.
            name: from `scope_of`.

        Raises:
            BadRequest: the route has no calls.
            Refused: the target is unknown.
        """
        if scope == "route":
            await self._check_route(name)
        elif scope == "pod":
            await self._check_pod(name)

    async def _check_route(self, name: str) -> None:
        config = await self._current.config()
        found = [route for route in config.routes if route.name == name]
        if not found:
            raise Refused(404, f"no route is called {name[:100]!r}")
        if found[0].respond is not None:
            raise BadRequest(f"route {name!r} answers by itself: it has no calls")

    async def _check_pod(self, name: str) -> None:
        config = await self._current.config()
        if any(not upstream.host.captures and upstream.host.text == name for upstream in config.upstreams.values()):
            return
        endpoints = await self._workers.ask(AskEndpoints)
        if any(name in (row.pod, row.address) for row in endpoints.rows):
            return
        tunnels = await self._workers.ask(AskTunnels)
        if any(name in (row.pod, address_of(row.endpoint)) for row in tunnels.rows):
            return
        if await self._current.addresses(name):
            return
        missing = endpoints.missing or tunnels.missing
        if missing:
            raise Refused(503, f"who answers knows no pod {name!r}; {no_answer_from(missing)}")
        raise Refused(
            404, f"pod {name!r}: no worker has a tunnel to it or an endpoint of that name, nor does it resolve"
        )


def scope_of(body: dict[str, Any] | None) -> tuple[str, str]:
    """The target in a request's body: "all", "pod" or "route", and its name ("" for all).

    Raises:
        BadRequest: the body names nothing that can be drained.
    """
    if not body:
        return "all", ""
    if len(body) > 1:
        raise BadRequest("either a pod or a route, one at a time")
    [(scope, name)] = body.items()
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{scope} must be a name")
    return scope, _pod(name) if scope == "pod" else name


def _pod(text: str) -> str:
    name = text.lower().removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    if _NAME.fullmatch(name) is None:
        raise BadRequest(f"pod {text[:100]!r} is neither a DNS name nor an address")
    return name
