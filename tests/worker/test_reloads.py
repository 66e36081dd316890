"""A worker's reloads, with texts that take their time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from splicer.configfile.read import Prepared
from splicer.errors import ConfigError
from splicer.worker.reloads import Reloads
from tests.kit.descriptors import none_left_open

_READ_SECONDS = 1.0


class Owner:
    """A worker's side: what was put into force, and what was told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.in_force: list[str] = []
        self.told: list[str] = []
        self.error: Exception | None = None
        self.reloads = Reloads(
            nursery.start_soon, self._read, self._apply, self.told.append, lambda: self.told.append("done")
        )

    def ask(self, text: str) -> None:
        """Ask for a text."""
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        self.reloads.ask([reader])

    async def _read(self, fd: int) -> Prepared:
        text = os.read(fd, 100).decode()
        os.close(fd)
        await trio.sleep(_READ_SECONDS)
        return cast("Prepared", text)

    def _apply(self, prepared: Prepared) -> None:
        if self.error is not None:
            raise self.error
        self.in_force.append(cast("str", prepared))


@pytest.fixture(autouse=True)
def _no_leak() -> Iterator[None]:
    with none_left_open():
        yield


@pytest.fixture
def owner(nursery: trio.Nursery) -> Owner:
    return Owner(nursery)


async def test_a_text_is_read_and_put_into_force(owner: Owner, autojump_clock: MockClock) -> None:
    owner.ask("one")
    await trio.sleep(10)
    assert (owner.in_force, owner.told) == (["one"], ["done"])


# Those who ask for the second wait for the third, which says all that the second did; its descriptor is closed.
async def test_of_those_that_wait_the_newest_counts(owner: Owner, autojump_clock: MockClock) -> None:
    for text in ("one", "two", "three"):
        owner.ask(text)
        await trio.sleep(0.1)
    await trio.sleep(10)
    assert (owner.in_force, owner.told) == (["one", "three"], ["done"])


async def test_a_wrong_configuration_changes_nothing_and_is_told(owner: Owner, autojump_clock: MockClock) -> None:
    owner.error = ConfigError(("line 7: no such key",))
    owner.ask("bad")
    await trio.sleep(10)
    assert owner.in_force == []
    assert owner.told == ["line 7: no such key", "done"]
    owner.error = None
    owner.ask("good")
    await trio.sleep(10)
    assert owner.in_force == ["good"]


async def test_a_bug_while_it_is_put_into_force_ends_nothing(owner: Owner, autojump_clock: MockClock) -> None:
    owner.error = ZeroDivisionError("a bug")
    owner.ask("one")
    await trio.sleep(10)
    assert owner.told == ["ZeroDivisionError('a bug')", "done"]


async def test_a_text_whose_descriptor_was_lost_is_told(owner: Owner, autojump_clock: MockClock) -> None:
    owner.reloads.ask([])
    await trio.sleep(10)
    assert owner.told == ["OSError('no descriptor is left for the text')", "done"]
