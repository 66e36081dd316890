"""How long foreign code keeps the event loop to itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from time import thread_time
from typing import Any, Generic, TypeVar

T = TypeVar("T")

BLOCKING_SECONDS = 0.002  # of the processor, between two waits: frames of all calls wait meanwhile


class Timed(Generic[T]):
    """Awaits something, and measures the longest time on the processor between two of its waits.

    The processor's time of this thread counts, not the clock's: other processes, and the kernel's own work, are not the
    code's fault.

    Args:
        begin: makes the awaitable; what it does itself is measured too.
    """

    def __init__(self, begin: Callable[[], Awaitable[T]]) -> None:
        self._begin = begin
        self.longest = 0.0  # seconds

    # Neither an exception nor what Trio sends, which may hold one, is left in a variable of this frame: the exception's
    # traceback refers to it.
    def __await__(self) -> Generator[Any, Any, T]:
        steps: Generator[Any, Any, T] | None = None
        given: list[BaseException] = []
        sent: list[Any] = [None]
        while True:
            began = thread_time()
            try:
                if steps is None:
                    steps = self._begin().__await__()
                waits = steps.throw(given.pop()) if given else steps.send(sent.pop())
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self.longest = max(self.longest, thread_time() - began)
            try:
                sent.append((yield waits))
            except BaseException as error:  # noqa: BLE001 - the awaited code gets it
                given.append(error)


# What foreign code raises must not reach the worker, and a SystemExit least of all.
def measured(call: Callable[[], object]) -> tuple[str | None, float]:
    """Call foreign code that doesn't wait; why it failed (None: it has not), and the seconds that it took."""
    began, reason = thread_time(), None
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - see above
        reason = f"{type(error).__name__}: {error}"
    return reason, thread_time() - began
