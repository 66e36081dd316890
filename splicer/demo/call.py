"""The provider's side of a call: Twilio's messages on a WebSocket, 160 bytes of audio every 20 ms."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from trio_websocket import WebSocketConnection, open_websocket_url

from splicer.demo.failure import DemoFailed

FRAME_BYTES = 160  # 20 ms of 8 kHz mu-law
FRAMES_PER_SECOND = 50
_ANSWER_TIMEOUT = 5.0  # seconds, for a handshake or an answer


@define
class PhoneCall:
    """A live call.

    Args:
        pod: the name of the pod that answered.
        answered_after: seconds from dialling to the open WebSocket.
    """

    pod: str
    answered_after: float
    _websocket: WebSocketConnection
    _stream: str

    async def speak(self, frames: int) -> list[float]:
        """Send audio in real time, and receive the same audio back.

        Returns:
            The time from a frame to its echo, in seconds, for each.

        Raises:
            DemoFailed: something else came back.
            trio_websocket.ConnectionClosed: the call was cut.
            trio.TooSlowError: nothing came back.
        """
        round_trips = []
        first = trio.current_time()
        for number in range(frames):
            await trio.sleep_until(first + number / FRAMES_PER_SECOND)
            sent = trio.current_time()
            audio = base64.b64encode(secrets.token_bytes(FRAME_BYTES)).decode()
            await self._exchange({"event": "media", "streamSid": self._stream, "media": {"payload": audio}})
            round_trips.append(trio.current_time() - sent)
        return round_trips

    async def hang_up(self) -> None:
        """End the call in order: when the mark comes back, all audio before it has arrived."""
        await self._exchange({"event": "mark", "streamSid": self._stream, "mark": {"name": "end"}})
        await self._send({"event": "stop", "streamSid": self._stream})

    async def greet(self) -> None:
        """Send the messages with which a call begins."""
        await self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {"streamSid": self._stream, "callSid": "CA" + self._stream[2:]}
        await self._send({"event": "start", "streamSid": self._stream, "start": start})

    async def _send(self, message: dict[str, Any]) -> None:
        with trio.fail_after(_ANSWER_TIMEOUT):
            await self._websocket.send_message(json.dumps(message))

    async def _exchange(self, message: dict[str, Any]) -> None:
        await self._send(message)
        with trio.fail_after(_ANSWER_TIMEOUT):
            answer = await self._websocket.get_message()
        if answer != json.dumps(message):
            raise DemoFailed(f"{self.pod} answered a {message['event']} message with {answer!r:.100}")


@asynccontextmanager
async def place_call(url: str) -> AsyncIterator[PhoneCall]:
    """A call that is open within the block, and hung up in order at its end.

    Args:
        url: the ws:// URL that the router gave to the provider.

    Raises:
        trio_websocket.HandshakeError: the handshake failed.
    """
    dialled = trio.current_time()
    async with open_websocket_url(
        url, connect_timeout=_ANSWER_TIMEOUT, disconnect_timeout=_ANSWER_TIMEOUT
    ) as websocket:
        answered_after = trio.current_time() - dialled
        pod = dict(websocket.handshake_headers).get(b"x-pod", b"somebody unknown").decode()
        call = PhoneCall(pod, answered_after, websocket, "MZ" + secrets.token_hex(16))
        await call.greet()
        yield call
        await call.hang_up()
