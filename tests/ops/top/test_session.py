"""The loop: news and keys in, the screen and requests out. The terminal and the feed are the test's."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console
from rich.live import Live

from splicer.ops.client import Client
from splicer.ops.failure import AdminFailed
from splicer.ops.top import session
from splicer.ops.top.feed import Feed
from splicer.ops.top.news import Calls, Done, Lost, Mailbox, State
from splicer.ops.top.screen import Screen
from splicer.ops.top.session import _Session
from splicer.ops.top.terminal import single_keys

_STATE: dict[str, Any] = {"version": "1.2.3", "connections": 1, "drains": [], "reload": {"ok": True}}
_CALLS: dict[str, Any] = {"total": 1, "tunnels": [{"id": "a", "pod": "agent-1", "age_s": 2}]}


class FakeFeed:
    def __init__(self) -> None:
        self.sorts: list[str] = []

    def follow(self, sort: str) -> None:
        self.sorts.append(sort)


class FakeClient:
    """Is asked in threads of their own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []

    def ask(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        self.asked.append((method, target, body))
        drain = {"scope": "pod", "name": "agent-1", "remaining": 3}
        return {"drains": [drain] if method == "POST" else []}


class Stand:
    """A session whose keys the test presses."""

    def __init__(self, keyboard: int, terminal: int) -> None:
        self.keyboard, self._terminal = keyboard, terminal
        self.mailbox, self.feed, self.client = Mailbox(), FakeFeed(), FakeClient()
        self.screen = Screen(_STATE, _CALLS)
        self.screen.update()
        self._out = StringIO()
        console = Console(file=self._out, width=100, height=20, force_terminal=True)
        self._live = Live(console=console, auto_refresh=False)
        parts = cast("Client", self.client), cast("Feed", self.feed), self.mailbox, self.screen, self._live
        self.session = _Session(*parts)

    def run(self, rounds: int = 1000) -> str:
        """Until it ends by itself, or so many waits are over; what was drawn."""
        left = iter(range(rounds - 1))
        with self._live:
            self.session.run(self._terminal, lambda: next(left, None) is None)
        return self._out.getvalue()


@pytest.fixture
def stand() -> Iterator[Stand]:
    keyboard, terminal = pty.openpty()
    with single_keys(terminal):
        yield Stand(keyboard, terminal)
    os.close(keyboard)
    os.close(terminal)


def test_q_ends_it(stand: Stand) -> None:
    os.write(stand.keyboard, b"q")
    assert "splicer 1.2.3" in stand.run()


def test_news_are_drawn(stand: Stand) -> None:
    stand.mailbox.put(State({**_STATE, "version": "9.9.9"}))
    stand.mailbox.put(Calls({"total": 1, "tunnels": [{"id": "c", "pod": "agent-7"}]}))
    stand.mailbox.put(Done("closed a"))
    stand.session._take(State({**_STATE, "version": "9.9.9"}))
    for news in stand.mailbox.take():
        stand.session._take(news)
    os.write(stand.keyboard, b"q")
    shown = stand.run()
    assert "splicer 9.9.9" in shown
    assert "agent-7" in shown
    assert "closed a" in shown


def test_a_lost_stream_is_told_since_its_first_failure(stand: Stand) -> None:
    stand.session._take(Lost(AdminFailed("127.0.0.1:9: connection refused")))
    first = stand.session._lost
    assert first.startswith("no connection since ")
    assert "connection refused" in first
    stand.session._take(Lost(AdminFailed("timed out")))
    assert stand.session._lost.partition(" (")[0] == first.partition(" (")[0]
    assert "timed out" in stand.session._lost
    stand.session._take(State(_STATE))
    assert stand.session._lost == ""


def test_another_order_is_asked_of_the_feed(stand: Stand) -> None:
    os.write(stand.keyboard, b"ssq")
    stand.run()
    assert stand.feed.sorts == ["idle", "rate"]


@pytest.mark.parametrize(
    ("keys", "asked", "told"),
    [
        (b"ky", ("DELETE", "/tunnels/a", None), "closed a"),
        (b"dy", ("POST", "/drain", {"pod": "agent-1"}), "pod agent-1: draining, 3 tunnels remain"),
    ],
)
def test_what_is_confirmed_is_done_and_told(stand: Stand, keys: bytes, asked: Any, told: str) -> None:
    os.write(stand.keyboard, keys)
    stand.run(rounds=2)  # the keys, and the outcome
    for news in stand.mailbox.take():
        stand.session._take(news)
    assert stand.client.asked == [asked]
    assert stand.screen.message == told


def test_what_is_not_confirmed_is_not_done(stand: Stand) -> None:
    os.write(stand.keyboard, b"kndnq")
    stand.run()
    assert stand.client.asked == []


def test_a_keyboard_that_has_gone_ends_it(stand: Stand) -> None:
    read, write = os.pipe()
    os.close(write)
    try:
        stand.session.run(read, lambda: False)
    finally:
        os.close(read)


def test_without_a_word_from_the_admin_address_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_ANSWER_TIMEOUT", 0.05)
    mailbox = Mailbox()
    with pytest.raises(AdminFailed, match="has told nothing within"):
        session._wait(mailbox, both=True)
    mailbox.put(Lost(AdminFailed("connection refused")))
    with pytest.raises(AdminFailed, match="connection refused"):
        session._wait(mailbox, both=True)
    mailbox.put(State({"a": 1}))
    assert session._wait(mailbox, both=False) == ({"a": 1}, {})
