"""The discovery process as its supervisor has it: a board, a channel, and orders."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from splicer.ipc.arguments import DiscoveryArguments
from splicer.ipc.board import Board
from splicer.ipc.messages import Discover, DiscoveryReport, Ready, Serving
from splicer.supervisor import launch
from tests.kit.driven import Driven


class Discovery(Driven[DiscoveryReport]):
    """A `python -m splicer.discovery`; `board`: of a process before it."""

    def __init__(self, board: Board | None = None) -> None:
        super().__init__(launch.DISCOVERY, DiscoveryArguments, board or Board(), DiscoveryReport)

    def serve(self) -> None:
        self.tell(Discover(7))
        assert self.hear() == Serving(7)


@contextmanager
def running(board: Board | None = None) -> Iterator[Discovery]:
    """One that is ready; its lines are those of this process."""
    made = board or Board()
    discovery = Discovery(made)
    try:
        assert discovery.hear() == Ready()
        yield discovery
    finally:
        discovery.close()
        if board is None:
            made.close()


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines of all processes that are started within the block; they are there at its end."""
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += [json.loads(line) for line in file.read().splitlines() if line.startswith(b"{")]


@pytest.fixture
def discovery() -> Iterator[Discovery]:
    with running() as one:
        yield one
