"""A route with an authorizer, in the tests of several files."""

from __future__ import annotations

from typing import Any

import trio

from splicer.authorization import Authorize
from splicer.errors import SplicerError
from splicer.model import Route, Upstream
from tests.kit.http import Message, read_request
from tests.session.edge import APP, SPARE, SPARE_UPSTREAM, Edge, Script, route, upstream
from tests.session.message import answer
from tests.session.pods import noting
from tests.session.wire import Peer

AUTH, OTHER = "10.0.0.9", "10.0.0.8"
ASKED = upstream("auth")
POD = upstream("pod", "{pod}.pods.test")
PLACED = answer(b"", "200 OK", "X-Pod: voice-3", "X-User: alice")


def rule(**more: Any) -> Authorize[Upstream]:
    return Authorize(ASKED, "/place", **{"captures": (("pod", "X-Pod"),), "headers": ("X-User",), **more})


def call(authorize: Authorize[Upstream] | None = None, **more: Any) -> Route:
    """To the pod that the authorizer names; else to `spare`."""
    keys = {"upgrade": ("websocket",), "upstream": POD, "fallback": SPARE_UPSTREAM, "authorize": authorize or rule()}
    return route(**{**keys, **more})


def plain(**more: Any) -> Route:
    """To `app`, whatever the answer says."""
    return call(rule(captures=(), **more), upstream=upstream("app"))


def site(edge: Edge, authorizer: Script | SplicerError | None, *routes: Route) -> list[Message]:
    """The requests that pods will get."""
    edge.names.served |= {"auth.test": (AUTH,), "voice-3.pods.test": (APP,)}
    heard: list[Message] = []
    edge.pods |= {AUTH: authorizer, APP: noting(heard), SPARE: noting(heard)}
    edge.use(*(routes or (call(),)))
    return heard


def beginning(head: bytes, body: bytes, *, close: bool) -> Script:
    async def script(pod: Peer) -> None:
        await read_request(pod)
        await pod.send(head + b"\r\nContent-Type: text/x\r\nWWW-Authenticate: Basic\r\n" + body)
        if close:
            pod.end.close()
        await trio.sleep_forever()

    return script
