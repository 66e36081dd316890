"""One request to a proxy, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import trio
from attrs import frozen

from splicer.comparison.questions import Question
from tests.kit.http import Message
from tests.kit.wire import EndOfStream, Wire, dial

_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
_NUMBERS = re.compile(r"\d+")
_ANSWERED = ("location", "content-type", "x-edge", "x-powered-by")


@frozen
class Probe:
    """A request; `upgrade` asks for a WebSocket."""

    question: Question
    upgrade: bool = False
    body: bytes = b""

    @property
    def text(self) -> str:
        return ("WS " if self.upgrade else "") + self.question.text

    def raw(self) -> bytes:
        fields = [f"{name.decode()}: {value.decode()}" for name, value in self.question.headers]
        if self.upgrade:
            fields += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", _KEY]
        if self.body or self.question.method in ("POST", "PUT"):
            fields.append(f"Content-Length: {len(self.body)}")
        lines = [
            f"{self.question.method} {self.question.target} HTTP/1.1",
            f"Host: {self.question.host}",
            *fields,
            "",
            "",
        ]
        return "\r\n".join(lines).encode() + self.body


Seen = Mapping[str, str]


async def probe(address: tuple[str, int], asked: Probe) -> Seen:
    """What a proxy makes of a request, by field."""
    async with dial(address) as wire:
        await wire.send(asked.raw())
        try:
            reply = await _reply(wire, asked.question.method)
        except (EndOfStream, trio.BrokenResourceError):
            return {"status": "closed"}
        seen = {"status": str(reply.status)}
        if reply.status == 101:
            return seen | _told(json.loads(await _first_message(wire))) | await _echo(wire)
        seen |= {key: value for key, value in ((k.lower(), v) for k, v in reply.fields) if key in _ANSWERED}
        return seen | _content(seen, reply)


def _content(seen: dict[str, str], reply: Message) -> dict[str, str]:
    if reply.body.startswith(b'{"pod"'):
        return _told(json.loads(reply.body))
    fixed = reply.status < 400 and not reply.body.startswith(b"<")
    own_page = reply.status >= 400 or not fixed
    if own_page:
        seen.pop("content-type", None)
    body = reply.body.decode("latin-1")
    if body.startswith("Active connections"):  # of stub_status, whose numbers are each proxy's own
        body = _NUMBERS.sub("N", body)
    return {"body": body} if fixed and reply.status < 300 else {}


def _told(told: dict[str, Any]) -> dict[str, str]:
    return {"pod": told["pod"], "method": told["method"], "target": told["target"], "sent": told["body"]} | {
        f"pod's {name}": value for name, value in told["fields"].items()
    }


async def _reply(wire: Wire, method: str) -> Message:
    head = await wire.head()
    message = Message(head)
    if message.status == 101:
        return message
    wire.buffer[:0] = head
    return await wire.reply(method)


async def _first_message(wire: Wire) -> bytes:
    return await wire.exactly(int(await wire.until(b"\n")))


async def _echo(wire: Wire) -> dict[str, str]:
    await wire.send(b"\x81\x85abcdefghi")
    return {"echo": str(await wire.exactly(11) == b"\x81\x85abcdefghi")}
