"""A terminal as a person has it: tmux, its keys and its screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.kit.wire import TIMEOUT

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
_POLL_INTERVAL = 0.1  # seconds between two looks
_PROMPTS = (["$"], ["#"])  # of a POSIX shell


class Terminal:
    """A shell in a terminal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _tmux(self, *words: str) -> str:
        environ = {
            **os.environ,
            "TMUX_TMPDIR": str(self._directory),
            "ENV": "",
            "TERM": "xterm-256color",
        }
        for name in ("TMUX", "COLUMNS", "LINES"):  # pytest-xdist exports the latter two
            environ.pop(name, None)
        command = ["tmux", "-f", "/dev/null", *words]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout

    def start(self, width: int, height: int) -> None:
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-s", "it", "sh")

    def end(self) -> None:
        self._tmux("kill-server")

    async def type(self, *keys: str) -> None:
        """Press keys, by tmux's names; what is no name is typed as it is."""
        await trio.to_thread.run_sync(self._tmux, "send-keys", "-t", "it", *keys)

    async def prompts(self) -> None:
        """Wait until the shell takes a command."""
        await self.shows(lambda lines: lines[-1:] in _PROMPTS)

    async def run(self, command: str) -> None:
        """Type a command."""
        await self.prompts()
        await self.type("-l", command)
        await self.type("Enter")

    async def picture(self) -> str:
        """All that it shows, with its colours (ECMA-48)."""
        return await trio.to_thread.run_sync(self._tmux, "capture-pane", "-p", "-e", "-t", "it")

    async def screen(self) -> list[str]:
        """The lines that it shows, without the empty ones at the end."""
        text = await trio.to_thread.run_sync(self._tmux, "capture-pane", "-p", "-t", "it")
        return [line.rstrip() for line in text.rstrip().split("\n")]

    async def shows(self, right: Callable[[Sequence[str]], bool]) -> list[str]:
        """Wait until it shows the right thing."""
        lines: list[str] = []
        with trio.move_on_after(TIMEOUT):
            while not right(lines := await self.screen()):  # noqa: ASYNC110 - see `until`
                await trio.sleep(_POLL_INTERVAL)
            return lines
        raise AssertionError("it still shows\n" + "\n".join(lines))

    async def says(self, *texts: str) -> list[str]:
        """Wait until all of these are on it."""
        return await self.shows(lambda lines: all(any(text in line for line in lines) for text in texts))

    @property
    def process(self) -> int:
        """The pid of the shell."""
        return int(self._tmux("display-message", "-p", "-t", "it", "#{pane_pid}"))


@contextmanager
def terminal(width: int = 120, height: int = 24) -> Iterator[Terminal]:
    """A terminal with a shell."""
    with tempfile.TemporaryDirectory() as directory:
        it = Terminal(Path(directory))
        it.start(width, height)
        try:
            yield it
        finally:
            it.end()
