"""For all tests."""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from tests.kit.laws import try_all

# Two files that are always there, to be locked: for whose turn it is, and for those that run.
_TURN = Path(__file__).parents[1] / "pyproject.toml"
_RUNNING = Path(__file__)


def pytest_configure(config: pytest.Config) -> None:
    """`make test` has no time for all examples; whoever runs a single file has."""
    try_all(config.option.markexpr != "not slow")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """The collector of garbage leaves alone what stays to the end: all tests and their modules."""
    gc.disable()
    try:
        if session.config.args == session.config.getini("testpaths"):
            _import_share(session.config.rootpath)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# In a fresh checkout, pytest's rewriting of assertions takes most of the collection, and each process collects all
# tests. So each rewrites a share of the files first, and then reads what the others have written.
def _import_share(root: Path) -> None:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for path in sorted((root / "tests").rglob("test_*.py"))[number::count] if count > 1 else ():
        with suppress(Exception, pytest.skip.Exception):  # pytest will import it again, and report that
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


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
def _signals() -> None:
    """Below nohup SIGHUP is ignored, behind a shell's "&" SIGINT and SIGQUIT; tests start processes that need them."""
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)
