"""For all tests."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine pauses now and then: that says nothing about the law under test.
settings.register_profile("splicer", deadline=None)
settings.load_profile("splicer")

# Two files that are always there, to be locked: for whose turn it is, and for those that run.
_TURN = Path(__file__).parents[1] / "pyproject.toml"
_RUNNING = Path(__file__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where several processes of pytest-xdist run tests, no other test runs while one runs that is marked `alone`."""
    several = "PYTEST_XDIST_WORKER" in os.environ
    with _turn(alone=item.get_closest_marker("alone") is not None) if several else nullcontext():
        return (yield)


# Who waits to be alone keeps the turn, so that nobody else begins meanwhile; else it might wait to the end.
@contextmanager
def _turn(*, alone: bool) -> Iterator[None]:
    with _RUNNING.open("rb") as running:
        with _TURN.open("rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)  # a process that the test has forked may have the file open still


@pytest.fixture(scope="session", autouse=True)
def _hangups() -> None:
    """Below nohup, SIGHUP is ignored, and so it would be by all processes that tests start."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
