"""The loop of a tls process: one epoll; frames first, then a few steps of handshakes and tasks.

A descriptor's handler is a plain function. A storm of new connections must not delay the frames of calls: so handshakes
wait in a queue, and after each batch of frames only a few of them make one step.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

IN, OUT, ERR, HUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP
_BATCH = 64  # events
_STEPS = 4  # steps after each batch: a step is at most one handshake's work, half a millisecond

Handler = Callable[[int], None]
Step = Callable[[], None]


class Timer:
    """A step at a later time."""

    __slots__ = ("step",)

    def __init__(self, step: Step) -> None:
        self.step: Step | None = step

    def cancel(self) -> None:
        """Don't call it, and don't keep what it belongs to."""
        self.step = None


class Loop:
    """Waits for events, and calls handlers.

    Args:
        crashed: called when a handler or a step raises, with it and the error; it must end what the handler belongs to.
    """

    def __init__(self, crashed: Callable[[Callable[..., None], Exception], None]) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._steps: deque[Step] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._crashed = crashed
        self.now = time.monotonic_ns()  # when the present batch began, in ns on the monotonic clock
        self.over = False

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Call a handler with the events of a descriptor; errors and hang-ups are always among them."""
        self._handlers[fd] = handler
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Wait for other events."""
        self._epoll.modify(fd, mask)

    def handle(self, fd: int, handler: Handler) -> None:
        """Call another handler."""
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Wait for a descriptor no more; it is still open."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def queue(self, step: Step) -> None:
        """Call a step soon, when it is its turn."""
        self._steps.append(step)

    def later(self, seconds: float, step: Step) -> Timer:
        """Call a step after some time."""
        timer = Timer(step)
        heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def run(self) -> None:
        """Serve until `over`."""
        handlers, poll, monotonic_ns = self._handlers, self._epoll.poll, time.monotonic_ns
        while not self.over:
            events = poll(self._patience(), _BATCH)
            self.now = monotonic_ns()
            for fd, mask in events:
                handler = handlers.get(fd)
                if handler is None:  # it was closed earlier in this batch
                    continue
                try:
                    handler(mask)
                except Exception as error:  # noqa: BLE001 - a bug ends one connection
                    self._crashed(handler, error)
            for _ in range(min(_STEPS, len(self._steps))):
                self._step(self._steps.popleft())
            while self._timers and self._timers[0][0] <= time.monotonic():
                step = heappop(self._timers)[2].step
                if step is not None:
                    self._step(step)

    def close(self) -> None:
        """Close the epoll."""
        self._epoll.close()

    def _patience(self) -> float:
        if self._steps:
            return 0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _step(self, step: Step) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - as above
            self._crashed(step, error)
