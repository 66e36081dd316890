"""The terminal is put back as it was, and signals are news, whatever happens in between."""

from __future__ import annotations

import os
import pty
import select
import signal
import termios
from collections.abc import Iterator

import pytest

from splicer.ops.top.terminal import signals_wake, single_keys

_TIMEOUT = 20.0  # seconds


@pytest.fixture
def tty() -> Iterator[tuple[int, int]]:
    """A keyboard and its terminal."""
    keyboard, terminal = pty.openpty()
    yield keyboard, terminal
    os.close(keyboard)
    os.close(terminal)


@pytest.fixture
def alarm() -> Iterator[tuple[int, int]]:
    read, write = os.pipe2(os.O_NONBLOCK)
    yield read, write
    os.close(read)
    os.close(write)


def test_each_key_comes_at_once_and_is_not_shown(tty: tuple[int, int]) -> None:
    keyboard, terminal = tty
    with single_keys(terminal):
        os.write(keyboard, b"\x1a")  # Ctrl-Z, without Enter
        assert select.select([terminal], [], [], _TIMEOUT)[0]
        assert os.read(terminal, 10) == b"\x1a"
        assert not select.select([keyboard], [], [], 0)[0], "no echo"
        assert termios.tcgetattr(terminal)[3] & termios.ISIG, "Ctrl-C is a signal"


def test_it_is_put_back_also_after_an_error_and_typed_keys_are_dropped(tty: tuple[int, int]) -> None:
    keyboard, terminal = tty
    before = termios.tcgetattr(terminal)

    def fail() -> None:
        with single_keys(terminal):
            assert termios.tcgetattr(terminal) != before
            os.write(keyboard, b"rm -rf\n")
            assert select.select([terminal], [], [], _TIMEOUT)[0]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(terminal) == before
    assert not select.select([terminal], [], [], 0)[0]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_is_a_note_and_a_byte(signum: signal.Signals, alarm: tuple[int, int]) -> None:
    read, write = alarm
    handler = signal.getsignal(signum)
    with signals_wake(write) as signals:
        assert signals.ended_by is None
        os.kill(os.getpid(), signum)
        assert select.select([read], [], [], _TIMEOUT)[0]
        assert signals.ended_by == signum
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.ended_by == signum, "the first one counts"
    assert signal.getsignal(signum) is handler


def test_a_resized_terminal_wakes_and_ends_nothing(alarm: tuple[int, int]) -> None:
    read, write = alarm
    with signals_wake(write) as signals:
        os.kill(os.getpid(), signal.SIGWINCH)
        assert select.select([read], [], [], _TIMEOUT)[0]
        assert signals.ended_by is None
    assert signal.getsignal(signal.SIGWINCH) is signal.SIG_DFL
