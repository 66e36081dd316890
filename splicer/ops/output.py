"""Writing to stdout, for a person at a terminal or for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from splicer.ops.failure import AdminFailed


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(text: str) -> None:
    """Write lines, unbuffered. If the reader has gone, end the process with status 1 and no message.

    Raises:
        AdminFailed: they can't be written for another reason.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a route's name may have letters that stdout can't encode
    try:
        print(text, flush=True)  # noqa: T201 - the command's output
    except OSError as error:
        _give_up(error)


def complain(text: str) -> None:
    """Write a line to stderr."""
    print(f"splicer: {text}", file=sys.stderr)  # noqa: T201 - the command's output


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows the current state: one updated line on a terminal, else a new line for each change."""
    if not on_terminal() or os.environ.get("TERM", "dumb") == "dumb":
        yield _each_change()
        return
    from rich.console import Console
    from rich.text import Text

    with Console().status("", spinner="line") as status:
        yield lambda text: status.update(Text(text))


def _each_change() -> Callable[[str], None]:
    last = ""

    def show(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            say(text)

    return show


# stdout is replaced, because the interpreter flushes it again at exit and would report that failure too.
def _give_up(error: OSError) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        raise SystemExit(1) from None
    raise AdminFailed(f"stdout: {error.strerror}") from error
