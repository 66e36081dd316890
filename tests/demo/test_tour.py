"""The tour says so if the edge does not do what the tour claims: here one server plays the edge and all behind it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, wrap_server_stream

from splicer.demo.failure import DemoFailed
from splicer.demo.story import Story
from splicer.demo.tour import take_tour
from splicer.demo.web import Answer, Request, serve

_PATH = "/agent/voice/x"


@define(eq=False)
class Stage:
    """What the edge and the pods do; a test changes one thing."""

    address: str = ""
    stopped: list[str] = field(factory=list)
    calls: dict[str, list[dict[str, Any]]] = field(factory=dict)
    url: str = "ws://{edge}/ws/pod/pod-1" + _PATH
    webhook_status: int = 200
    takes: Callable[[bool], str] = lambda stopped: "pod-2" if stopped else "pod-1"  # which pod takes a call
    seen: dict[str, Any] = field(factory=dict)  # what a pod says of its last call in place of what was so
    logged: list[tuple[str, str | None]] = field(factory=list)

    async def entry(self, event: str, route: str | None = None) -> dict[str, Any]:
        """The edge's log."""
        self.logged.append((event, route))
        return {"event": event, "route": route}

    def respond(self, asked: Request) -> Answer:
        match asked.path.split("/"):
            case ["", "agent", *_]:
                assert (asked.method, asked.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
                url = self.url.format(edge=self.address)
                twiml = f'<Response><Connect><Stream url="{url}"/></Connect></Response>'
                return Answer(self.webhook_status, "application/xml", twiml.encode())
            case ["", pod, "calls"]:
                return Answer.of({"pod": pod, "calls": self.calls.get(pod, [])})
        return Answer.of({}, status=404)

    async def take_call(self, stream: trio.abc.Stream) -> None:
        pod = self.takes(bool(self.stopped))
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            wanted, path = re.fullmatch(r"/ws/pod/([^/]+)(/.*)", request.path).groups()  # type: ignore[union-attr]
            call = {"path": path, "client": "::1", "fallback_from": None if wanted == pod else wanted, "frames": 0}
            self.calls.setdefault(pod, []).append(call)
            websocket = await request.accept(extra_headers=[(b"X-Pod", pod.encode())])
            try:
                while (message := json.loads(await websocket.get_message()))["event"] != "stop":
                    if message["event"] in ("media", "mark"):
                        call["frames"] += message["event"] == "media"
                        await websocket.send_message(json.dumps(message))
            except ConnectionClosed:
                pass
            call.update(self.seen)
            await websocket.aclose()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(serve, "it", "127.0.0.1", 0, self.respond, self.take_call)
            self.address = "{}:{}".format(*listener.socket.getsockname())
            yield
            nursery.cancel_scope.cancel()


@define
class _Pod:
    name: str
    stage: Stage

    async def stop(self) -> None:
        self.stage.stopped.append(self.name)


async def tour(stage: Stage) -> str:
    pods: Any = {name: _Pod(name, stage) for name in ("pod-1", "pod-2")}
    edge: Any = stage
    async with stage.running():
        return await take_tour(Story(), edge, pods)


async def test_what_is_told_when_all_is_well(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage()
    assert await tour(stage) == "pod-1"
    assert stage.stopped == ["pod-1"]
    assert stage.logged == [("exchange", "twilio-callback"), *[("tunnel_close", "pod-websocket")] * 2]
    said = capsys.readouterr().out
    assert [line[0] for line in said.splitlines() if re.match(r"\d\. ", line)] == list("1234")
    assert re.findall(r"(pod-\d) answered after", said) == ["pod-1", "pod-2"]
    assert re.findall(r"GET /(pod-\d)/calls", said) == ["pod-1", "pod-2"]
    assert "X-Splicer-Fallback-From: pod-1" in said


async def test_a_url_in_xml_may_have_what_xml_escapes(autojump_clock: MockClock) -> None:
    stage = Stage(url="ws://{edge}/ws/pod/pod-1/x?a=1&amp;b=2")
    assert await tour(stage) == "pod-1"
    assert [calls[0]["path"] for calls in stage.calls.values()] == ["/x?a=1&b=2"] * 2


def _always(pod: str) -> Callable[[bool], str]:
    return lambda _: pod


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        (lambda: Stage(webhook_status=502), "the webhook: 502, <Response>.*"),
        (lambda: Stage(url=""), "the webhook: 200, <Response>.*"),
        (lambda: Stage(url="ws://{edge}/ws/pod/pod-9/x"), "the smart router named no pod's URL: ws://.*/pod-9/x"),
        (lambda: Stage(url="ws://{edge}/elsewhere/pod-1"), "the smart router named no pod's URL: ws://.*/elsewhere/.*"),
        (lambda: Stage(takes=_always("pod-2")), "the call was for pod-1, but pod-2 has taken it"),
        (lambda: Stage(takes=_always("pod-1")), "pod-1 was stopped, but has taken a call"),
        (
            lambda: Stage(seen={"frames": 14}),
            'pod-1 should have had a call with {"path": .* "frames": 15}, but says: .*',
        ),
        (lambda: Stage(seen={"path": "/other"}), "pod-1 should have had a call with .*"),
        (lambda: Stage(seen={"fallback_from": None}), "pod-2 should have had a call with .*"),
    ],
)
async def test_what_is_not_so_is_told(stage: Callable[[], Stage], fault: str, autojump_clock: MockClock) -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        await tour(stage())
    failures = raised.value.split(DemoFailed)[0]
    assert failures is not None
    [failed] = failures.exceptions
    assert isinstance(failed, DemoFailed)
    assert re.fullmatch(fault, failed.detail), failed.detail


async def test_pods_that_say_nothing_of_the_call(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.calls = _Forgetful()
    with pytest.raises(BaseExceptionGroup) as raised:
        await tour(stage)
    assert raised.group_contains(DemoFailed, match="^pod-1 should have had a call with .*, but says: 200, ")


class _Forgetful(dict[str, list[dict[str, Any]]]):
    def get(self, *_: object) -> Any:
        return []
