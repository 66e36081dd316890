"""A relay that corrupts bytes on purpose, to test whether a storm notices it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

import trio
from attrs import define

from tests.kit.site import Site
from tests.kit.wire import EndOfStream, Wire

_TARGET = re.compile(rb"/ws1/agent-(\d+)/")


class Act(Enum):
    """What a spoiler may do besides changing bytes, once those bytes are passed on."""

    NOTHING = 0
    CLOSE = 1  # both connections
    RESET = 2  # both connections
    HANG = 3  # pass on nothing any more, not even an end
    LEAVE = 4  # instead of an answer: close only the client's connection


@define
class Course:
    """One direction of one tunnel, up to the bytes that were passed on.

    Args:
        tunnel: its number, in the order of arrival, from 0.
        down: from the pod to the client.
        offset: bytes so far, without the head.
    """

    tunnel: int
    down: bool
    offset: int = 0


Spoiler = Callable[[Course, bytes], tuple[bytes, Act]]  # b"" for an end


@define(eq=False)
class BadRelay:
    """Forwards each connection to the pod that its request names.

    Args:
        site: of the pods.
        spoil: returns what is sent instead of bytes after the heads, or of an end (b"").
        answer: returns what is sent instead of a pod's head.
    """

    site: Site
    spoil: Spoiler
    answer: Callable[[bytes], tuple[bytes, Act]] = lambda head: (head, Act.NOTHING)
    _tunnels: int = 0

    async def start(self, nursery: trio.Nursery) -> tuple[str, int]:
        """Listen, and return the address."""
        listeners: list[trio.SocketListener] = await nursery.start(self._listen)
        host, port = listeners[0].socket.getsockname()
        return host, port

    async def _listen(self, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        await trio.serve_tcp(self._serve, 0, host="127.0.0.1", task_status=task_status)

    async def _serve(self, client: trio.SocketStream) -> None:
        number, self._tunnels = self._tunnels, self._tunnels + 1
        caller = Wire(client)
        head = await caller.head()
        agent = _TARGET.search(head)
        assert agent
        pod = Wire(await trio.open_tcp_stream(f"{self.site.net}.{int(agent[1])}", self.site.port))
        await pod.send(head.replace(agent[0], b"/"))
        async with pod.stream, client, trio.open_nursery() as nursery:
            answer, act = self.answer(await pod.head())
            await caller.send(answer)
            if act is Act.RESET:
                caller.reset()
            if act is Act.LEAVE:
                await client.aclose()
            if act in (Act.LEAVE, Act.HANG):
                await trio.sleep_forever()
            if act is Act.NOTHING:
                nursery.start_soon(self._copy, Course(number, down=False), caller, pod, nursery.cancel_scope)
                nursery.start_soon(self._copy, Course(number, down=True), pod, caller, nursery.cancel_scope)

    async def _copy(self, course: Course, source: Wire, sink: Wire, both: trio.CancelScope) -> None:
        data = b"more"
        act = Act.NOTHING
        while data and act is Act.NOTHING:
            try:
                data = await source.some()
            except trio.BrokenResourceError:
                data, act = b"", Act.RESET
            except trio.ClosedResourceError:  # the other direction has reset both
                return
            passed, wanted = self.spoil(course, data)
            act = wanted if wanted is not Act.NOTHING else act
            course.offset += len(data)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await sink.send(passed)
        await self._end(act, source, sink, both)

    async def _end(self, act: Act, source: Wire, sink: Wire, both: trio.CancelScope) -> None:
        if act is Act.HANG:
            await trio.sleep_forever()
        if act is Act.NOTHING:
            with suppress(trio.BrokenResourceError, EndOfStream):
                await sink.send_eof()
            return
        both.cancel()
        if act is Act.RESET:
            source.reset()
            sink.reset()
