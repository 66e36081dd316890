"""What goes wrong in a demo, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import h11
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, ConnectionTimeout, HandshakeError

from splicer.errors import SplicerError

_STEP_TIMEOUT = 10.0  # for anything that happens on one machine
_EXPECTED = (OSError, ValueError, trio.BrokenResourceError, h11.RemoteProtocolError, HandshakeError, ConnectionClosed)


class DemoFailed(SplicerError):
    """The demo can't start, or a step of its tour went another way than it should."""

    reason = "demo"


@contextmanager
def must_work(what: str, seconds: float = _STEP_TIMEOUT) -> Iterator[None]:
    """A deadline for what stands in the block, and one clear line if it fails.

    Args:
        what: is tried, for the line.
        seconds: that it may take.

    Raises:
        DemoFailed: it failed, or took longer.
    """
    try:
        with trio.fail_after(seconds):
            yield
    except (trio.TooSlowError, ConnectionTimeout):
        raise DemoFailed(f"{what}: not done in time") from None
    except ConnectionRejected as error:
        raise DemoFailed(f"{what}: refused with status {error.status_code}") from error
    except _EXPECTED as error:
        raise DemoFailed(f"{what}: {error.__cause__ or str(error) or 'the connection broke'}") from error


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that a nursery's group, or a group within it, tells first."""
    error = group.exceptions[0]
    return first_failure(error) if isinstance(error, BaseExceptionGroup) else error
