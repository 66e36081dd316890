"""A call as its provider has it, with a pod that may do anything."""

from __future__ import annotations

import base64
import gc
import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from splicer.demo.call import FRAME_BYTES, place_call
from splicer.demo.failure import DemoFailed
from tests.demo.fake_pod import echo, fake_pod


class Listener:
    """Echoes, and keeps what it has heard and when."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.at: list[float] = []

    async def __call__(self, websocket: WebSocketConnection) -> None:
        while True:
            text = await websocket.get_message()
            message = json.loads(text)
            self.heard.append(message)
            self.at.append(trio.current_time())
            if message["event"] in ("media", "mark"):
                await websocket.send_message(text)


async def test_a_call_from_beginning_to_end(autojump_clock: MockClock) -> None:
    listener = Listener()
    async with fake_pod(listener) as url, place_call(url) as call:
        assert call.pod == "voice-agent-7"
        assert len(await call.speak(3)) == 3
    connected, start, *media, mark, stop = listener.heard
    assert (connected["event"], start["event"], mark["event"], stop["event"]) == ("connected", "start", "mark", "stop")
    assert {message["streamSid"] for message in (start, *media, mark, stop)} == {start["start"]["streamSid"]}
    assert [message["event"] for message in media] == ["media"] * 3
    audio = [base64.b64decode(message["media"]["payload"]) for message in media]
    assert [len(frame) for frame in audio] == [FRAME_BYTES] * 3
    assert len(set(audio)) == 3, "an echo of another frame would not be noticed"


# The frames' times are those of a clock, so a slow answer delays no later frame.
async def test_frames_keep_time(autojump_clock: MockClock) -> None:
    listener = Listener()

    async def slowly(websocket: WebSocketConnection) -> None:
        for event in ("connected", "start", "media", "media", "media", "media", "mark"):
            text = await websocket.get_message()
            listener.at.append(trio.current_time())
            await trio.sleep({"media": 0.03 if len(listener.at) == 3 else 0.001}.get(event, 0))
            if event in ("media", "mark"):
                await websocket.send_message(text)
        await websocket.get_message()

    async with fake_pod(slowly) as url, place_call(url) as call:
        trips = await call.speak(4)
    first = listener.at[2]
    assert [at - first for at in listener.at[2:6]] == pytest.approx([0, 0.03, 0.04, 0.06])
    assert trips == pytest.approx([0.03, 0.001, 0.001, 0.001])


async def test_two_calls_are_two_streams(autojump_clock: MockClock) -> None:
    listener = Listener()
    async with fake_pod(listener) as url:
        for _ in range(2):
            async with place_call(url):
                pass
    assert len({message["streamSid"] for message in listener.heard if "streamSid" in message}) == 2


async def test_a_pod_that_says_no_name(autojump_clock: MockClock) -> None:
    async with fake_pod(echo, name=None) as url:
        with pytest.raises(DemoFailed, match=r"somebody unknown answered a media message with .*connected"):
            async with place_call(url) as call:
                await call.speak(1)  # a pod that echoes the first message too


async def test_an_answer_that_is_another_message_is_told(autojump_clock: MockClock) -> None:
    async def garble(websocket: WebSocketConnection) -> None:
        while True:
            if "media" in await websocket.get_message():
                await websocket.send_message("x" * 1000)

    async with fake_pod(garble) as url:
        with pytest.raises(DemoFailed) as failed:
            async with place_call(url) as call:
                await call.speak(1)
    assert failed.value.detail == f"voice-agent-7 answered a media message with 'x{'x' * 98}"


async def test_a_silent_pod_is_waited_for_five_seconds(autojump_clock: MockClock) -> None:
    async def be_silent(websocket: WebSocketConnection) -> None:
        while True:
            await websocket.get_message()

    async with fake_pod(be_silent) as url:
        begun = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            async with place_call(url) as call:
                await call.speak(1)
        assert trio.current_time() - begun == pytest.approx(5.0, abs=0.1)


# trio-websocket leaves the socket of a call that ends like this to the garbage collector.
@pytest.fixture
def _late_close() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("_late_close")
async def test_a_call_that_is_cut(autojump_clock: MockClock) -> None:
    async def cut(websocket: WebSocketConnection) -> None:
        for _ in range(3):
            await websocket.get_message()
        await websocket.aclose()

    async with fake_pod(cut) as url:
        with pytest.raises(ConnectionClosed):
            async with place_call(url) as call:
                await call.speak(1)


@pytest.mark.usefixtures("_late_close")
async def test_a_handshake_that_is_refused(autojump_clock: MockClock) -> None:
    async with fake_pod(echo, status=503) as url:
        with pytest.raises(ConnectionRejected) as refused:
            async with place_call(url):
                pass
    assert refused.value.status_code == 503


async def test_how_long_the_answer_took(autojump_clock: MockClock) -> None:
    async with fake_pod(echo, delay=2.0) as url:
        with suppress(DemoFailed):
            async with place_call(url) as call:
                assert call.answered_after == pytest.approx(2.0, abs=0.1)
