from __future__ import annotations

from collections.abc import Iterator

import pytest

from splicer.relay.clean_pipes import CleanPipes
from splicer.relay.pipes import Inherited, Pipe
from tests.relay.harness import pipe_of, pipe_with


class Made:
    """Makes pipes, and closes them at the end."""

    def __init__(self) -> None:
        self.pipes: list[Pipe] = []

    def pipe(self, size: int = 1 << 16) -> Pipe:
        self.pipes.append(pipe_of(size))
        return self.pipes[-1]


@pytest.fixture
def made() -> Iterator[Made]:
    made = Made()
    yield made
    for pipe in made.pipes:
        pipe.close()


def test_the_first_is_put_by_and_the_others_are_used_again(made: Made) -> None:
    pipes = CleanPipes()
    last, first, second = (made.pipe() for _ in range(3))
    for pipe in (last, first, second):
        pipes.give(pipe)
    assert (pipes.count, pipes.has_last) == (2, True)
    assert (pipes.take(), pipes.take(), pipes.take()) == (second, first, None)
    assert pipes.take_last() is last
    assert (pipes.count, pipes.has_last, pipes.take_last()) == (0, False, None)
    assert pipes.take_spent() == []


def test_the_next_that_comes_after_the_last_was_lent_is_put_by_in_its_place(made: Made) -> None:
    pipes = CleanPipes()
    pipes.give(made.pipe())
    last, other = pipes.take_last(), made.pipe()
    assert last is not None
    pipes.give(other)
    assert (pipes.count, pipes.has_last) == (0, True)
    pipes.give(last)
    assert (pipes.take(), pipes.take_last()) == (last, other)


def test_no_more_than_are_to_be_kept_are_kept(made: Made) -> None:
    pipes = CleanPipes(keep=2)
    given = [made.pipe() for _ in range(5)]
    for pipe in given:
        pipes.give(pipe)
    assert pipes.count == 2
    assert pipes.take_spent() == given[3:]
    assert pipes.take_spent() == []


# Past pipe-user-pages-soft; the pressure may be over later.
def test_of_small_pipes_one_is_kept_if_there_is_no_other(made: Made) -> None:
    pipes = CleanPipes()
    pipes.give(made.pipe())
    small, other, large = made.pipe(8192), made.pipe(8192), made.pipe()
    for pipe in (small, other):
        pipes.give(pipe)
    assert (pipes.count, pipes.take_spent()) == (1, [other])
    assert pipes.take(8193) is None
    pipes.give(large)
    assert (pipes.take(8193), pipes.take(8192)) == (large, small)


def test_nobody_can_write_into_another_workers_pipe_so_it_is_of_no_more_use(made: Made) -> None:
    pipes = CleanPipes()
    inherited = Inherited(pipe_with(b""))
    made.pipes.append(inherited)
    pipes.give(inherited)
    assert (pipes.count, pipes.has_last, pipes.take_spent()) == (0, False, [inherited])
