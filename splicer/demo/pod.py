"""A voice pod: it takes calls by WebSocket, and reports its last calls by plain HTTP."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from typing import Any

import trio
from attrs import asdict, define
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from splicer.demo.places import POD_PORT
from splicer.demo.web import Answer, Request, serve

_KEPT_CALLS = 20
_HANDSHAKE_TIMEOUT = 10.0  # seconds
_IDLE_TIMEOUT = 3600.0  # seconds after which a silent call is ended, as by the route's idle deadline


@define
class Call:
    """A call as the pod saw it.

    Args:
        path: the path of the request that the pod got.
        client: X-Forwarded-For.
        fallback_from: X-Splicer-Fallback-From: the pod that should have got the call.
        frames: the number of audio frames received and sent back.
    """

    path: str
    client: str | None
    fallback_from: str | None
    frames: int = 0


class Pod:
    """One pod.

    Args:
        name: its name in the StatefulSet.
        host: its numeric address.
    """

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host
        self._calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self._life = trio.CancelScope()
        self._ended = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until stopped.

        Raises:
            DemoFailed: its address is not available.
        """
        try:
            with self._life:
                await serve(self.name, self.host, POD_PORT, self._respond, self._take_call, task_status=task_status)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Stop as a killed pod does: calls are cut, and connections are refused."""
        self._life.cancel()
        await self._ended.wait()

    def _respond(self, request: Request) -> Answer:
        match request.path:
            case "/health" | "/ready":
                return Answer.of({"pod": self.name, "status": "ok"})
            case "/calls":
                return Answer.of({"pod": self.name, "calls": [asdict(call) for call in self._calls]})
            case _:
                seen = {"method": request.method, "target": request.target, "headers": dict(request.headers)}
                return Answer.of({"pod": self.name, **seen})

    async def _take_call(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(_HANDSHAKE_TIMEOUT):
                request = await wrap_server_stream(nursery, stream)
                websocket = await request.accept(extra_headers=[(b"X-Pod", self.name.encode())])
            call = _seen(request)
            self._calls.append(call)
            with suppress(ConnectionClosed):
                await _talk(websocket, call)
            with trio.move_on_after(_HANDSHAKE_TIMEOUT):
                await websocket.aclose()
            nursery.cancel_scope.cancel()


def _seen(request: WebSocketRequest) -> Call:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in request.headers}
    return Call(request.path, headers.get("x-forwarded-for"), headers.get("x-splicer-fallback-from"))


async def _talk(websocket: WebSocketConnection, call: Call) -> None:
    while True:
        with trio.fail_after(_IDLE_TIMEOUT):
            text = await websocket.get_message()
            message = _parse(text)
            match message.get("event"):
                case "stop":
                    return
                case "connected" | "start":
                    continue
                case "media":
                    call.frames += 1
            await websocket.send_message(text)


def _parse(text: str | bytes) -> dict[str, Any]:
    """A provider's message; empty for anything else, which is echoed too."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
