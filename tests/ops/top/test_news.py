"""News from other threads: none is lost, and one `select` is enough to wait for them."""

from __future__ import annotations

import os
import select
from threading import Thread

from splicer.ops.failure import AdminFailed
from splicer.ops.top.news import Done, Mailbox, State, act

_TIMEOUT = 20.0  # seconds


def is_readable(mailbox: Mailbox, seconds: float = 0.0) -> bool:
    return bool(select.select([mailbox.fileno()], [], [], seconds)[0])


def test_news_make_it_readable_until_they_are_taken() -> None:
    mailbox = Mailbox()
    assert not is_readable(mailbox)
    mailbox.put(Done("a"))
    mailbox.put(Done("b"))
    assert is_readable(mailbox)
    assert mailbox.take() == [Done("a"), Done("b")]
    assert not is_readable(mailbox)
    assert mailbox.take() == []


def test_a_signals_byte_is_no_news() -> None:
    mailbox = Mailbox()
    os.write(mailbox.alarm, b"\x02")
    assert is_readable(mailbox)
    assert mailbox.take() == []
    assert not is_readable(mailbox)


def test_more_news_than_a_pipe_has_room_for() -> None:
    mailbox, many = Mailbox(), 70_000

    def tell() -> None:
        for _ in range(many // 2):
            mailbox.put(State({}))

    threads = [Thread(target=tell) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert is_readable(mailbox)
    assert len(mailbox.take()) == many
    assert not is_readable(mailbox)


def test_an_action_tells_how_it_went() -> None:
    def fails() -> str:
        raise AdminFailed("no tunnel 'a'", "ask again")

    mailbox = Mailbox()
    for action, text in ((lambda: "closed a", "closed a"), (fails, "no tunnel 'a'; ask again")):
        act(mailbox, action)
        assert is_readable(mailbox, _TIMEOUT)
        assert mailbox.take() == [Done(text)]
