"""Pods that tell what they got, and such as fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import trio

from tests.kit.http import Message
from tests.kit.pods import Handler, ok, raw_pod, switching
from tests.kit.wire import Wire

TOLD = ("host", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "x-a", "x-b", "connection", "upgrade")


def telling(name: str) -> Handler:
    """A pod that answers with what it got, as JSON, or echoes after a WebSocket's handshake."""

    async def handle(wire: Wire) -> None:
        while True:
            message = await wire.request()
            if b"websocket" in [value.lower() for value in message.values("upgrade")]:
                told = json.dumps(_told(name, message)).encode()
                await wire.send(switching(message.head) + b"%d\n" % len(told) + told)
                while data := await wire.some():
                    await wire.send(data)
                return
            await wire.send(
                ok(json.dumps(_told(name, message)).encode(), b"X-Powered-By: pod", b"X-Pod: " + name.encode())
            )

    return handle


def _told(name: str, message: Message) -> dict[str, Any]:
    fields: Mapping[str, str] = {key.lower(): value for key, value in message.fields}
    line = message.line.split(" ")
    return {
        "pod": name,
        "method": line[0],
        "target": line[1],
        "fields": {key: fields[key] for key in TOLD if key in fields},
        "body": message.body.decode("latin-1"),
    }


async def busy(wire: Wire) -> None:
    """503 to everything."""
    while True:
        await wire.request()
        await wire.send(ok(b"busy", status=b"503 Service Unavailable"))


async def silent(wire: Wire) -> None:
    """Takes requests, and says nothing."""
    while await wire.stream.receive_some(65536):
        pass


async def closing(wire: Wire) -> None:
    """Closes when the request has come."""
    await wire.head()


async def serve(nursery: trio.Nursery, port: int, pods: Mapping[str, tuple[str, Handler | None]]) -> None:
    """Start all pods but the dead ones."""
    for address, handler in pods.values():
        if handler is not None:
            await raw_pod(nursery, address, port, handler)
