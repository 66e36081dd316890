"""One clear line for whatever goes wrong."""

from __future__ import annotations

import errno

import h11
import pytest
import trio
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, ConnectionRejected, ConnectionTimeout

from splicer.demo.failure import ENDS_ONE_CALL, DemoFailed, first_failure, must_work


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "[Errno 111] Connection refused"),
        (_caused(OSError("all attempts failed"), ConnectionResetError("reset by peer")), "reset by peer"),
        (ValueError("no JSON"), "no JSON"),
        (trio.BrokenResourceError(), "the connection broke"),
        (h11.RemoteProtocolError("illegal header"), "illegal header"),
        (ConnectionRejected(503, (), b""), "refused with status 503"),
        (ConnectionTimeout(), "not done in time"),
        (trio.TooSlowError(), "not done in time"),
        (ConnectionClosed(None), "None"),
    ],
)
async def test_it_is_one_line_that_names_the_step(error: BaseException, said: str) -> None:
    with pytest.raises(DemoFailed) as failed, must_work("the call"):
        raise error
    assert failed.value.detail == f"the call: {said}"
    assert isinstance(error, ENDS_ONE_CALL)


async def test_a_step_has_its_time(autojump_clock: MockClock) -> None:
    begun = trio.current_time()
    with pytest.raises(DemoFailed, match=r"^the call: not done in time$"), must_work("the call", 7):
        await trio.sleep_forever()
    assert trio.current_time() - begun == 7


@pytest.mark.parametrize("error", [DemoFailed("as it is"), ZeroDivisionError("a bug"), KeyboardInterrupt()])
async def test_what_is_told_already_and_what_is_a_bug_stays(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, must_work("the call"):
        raise error
    assert raised.value is error


def test_of_many_failures_the_first_is_told() -> None:
    error = DemoFailed("first")
    inner = BaseExceptionGroup("inner", [error, ValueError()])
    assert first_failure(BaseExceptionGroup("outer", [inner, KeyError()])) is error
