"""Failures of the demo, as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import h11
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, ConnectionTimeout, HandshakeError

from splicer.errors import SplicerError

_STEP_TIMEOUT = 10.0  # seconds; plenty for any step on one machine
_EXPECTED = (OSError, ValueError, trio.BrokenResourceError, h11.RemoteProtocolError, HandshakeError, ConnectionClosed)


class DemoFailed(SplicerError):
    """The demo can't start, or a step of its tour had an unexpected result."""

    reason = "demo"


@contextmanager
def must_work(what: str, seconds: float = _STEP_TIMEOUT) -> Iterator[None]:
    """A deadline for the block, and one clear line if it fails.

    Args:
        what: what the block does, for that line.
        seconds: the time that it may take.

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
    """The first exception of a nursery's group that is no group itself."""
    error = group.exceptions[0]
    return first_failure(error) if isinstance(error, BaseExceptionGroup) else error


# What a call may end by without anything being wrong with the demo: somebody closes it, drains its pod or kills it.
ENDS_ONE_CALL = (*_EXPECTED, trio.TooSlowError, DemoFailed)
