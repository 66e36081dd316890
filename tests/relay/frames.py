"""Frames to and fro in a call."""

from __future__ import annotations

from tests.relay.harness import Call


async def talk(call: Call, frame: bytes = b"f" * 160) -> None:
    for sender, reader in ((call.client, call.pod), (call.pod, call.client)):
        await sender.send(frame)
        assert await reader.read(len(frame)) == frame


async def echo(call: Call, rounds: int = 5) -> None:
    for number in range(rounds):
        frame = b"%d" % (number % 10) * 160
        await call.client.send(frame)
        assert await call.pod.read(160) == frame
        await call.pod.send(frame)
        assert await call.client.read(160) == frame
