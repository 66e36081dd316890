"""The loop: news and keys in, the screen and requests out."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from urllib.parse import quote

from rich.console import Console
from rich.live import Live

from splicer.config.scalars import printable
from splicer.ops.answer import JsonObject
from splicer.ops.client import Client
from splicer.ops.drain import remain
from splicer.ops.failure import AdminFailed
from splicer.ops.output import say
from splicer.ops.top.draw import screen_of, sheet_of
from splicer.ops.top.feed import Feed
from splicer.ops.top.keys import KeyReader
from splicer.ops.top.news import Calls, Done, Lost, Mailbox, News, State, act
from splicer.ops.top.screen import Close, Drain, Intent, Quit, Resort, Screen
from splicer.ops.top.terminal import signals_wake, single_keys

_ANSWER_TIMEOUT = 15.0  # seconds until there is something to show
_ESCAPE_SECONDS = 0.05  # between the bytes of one key
_WIDEST = 1_000_000  # characters; wider than any table


def top(client: Client) -> None:
    """Show the edge until the operator has seen enough; once, if there is no terminal.

    Args:
        client: the admin address.

    Raises:
        AdminFailed: it can't be reached at the beginning, or the terminal has gone.
        SystemExit: a signal ended it.
    """
    mailbox = Mailbox()
    feed = Feed(client, mailbox.put, Screen().sort)
    try:
        if _interactive():
            _show(client, feed, mailbox)
        else:
            say(_sheet(*_wait(mailbox, both=True)))
    finally:
        feed.close()


def _interactive() -> bool:
    terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()
    return terminal and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _wait(mailbox: Mailbox, *, both: bool) -> tuple[JsonObject, JsonObject]:
    """The first state, and the first calls if both are wanted or they are there already."""
    state: JsonObject | None = None
    calls: JsonObject | None = None
    late = time.monotonic() + _ANSWER_TIMEOUT
    while state is None or (both and calls is None):
        readable, _, _ = select.select([mailbox.fileno()], [], [], max(0.0, late - time.monotonic()))
        if not readable:
            raise AdminFailed(f"the admin address has told nothing within {_ANSWER_TIMEOUT:g} s")
        for news in mailbox.take():
            match news:
                case State():
                    state = news.state
                case Calls():
                    calls = news.answer
                case Lost():
                    raise news.failure
    return state, calls or {}


def _sheet(state: JsonObject, calls: JsonObject) -> str:
    sheet = StringIO()
    Console(file=sheet, width=_WIDEST).print(sheet_of(state, calls))
    return "\n".join(line.rstrip() for line in sheet.getvalue().split("\n")).removesuffix("\n")


def _show(client: Client, feed: Feed, mailbox: Mailbox) -> None:
    state, calls = _wait(mailbox, both=False)
    screen = Screen(state, calls)
    screen.update()
    keyboard = sys.stdin.fileno()
    try:
        with signals_wake(mailbox.alarm) as signals, single_keys(keyboard), _live() as live:
            session = _Session(client, feed, mailbox, screen, live)
            session.run(keyboard, lambda: signals.ended_by is not None)
    except OSError as error:
        raise AdminFailed(f"the terminal: {error.strerror}") from error
    if signals.ended_by is not None:
        raise SystemExit(128 + signals.ended_by)


def _live() -> Live:
    return Live(console=Console(), screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


class _Session:
    """What the loop has in hand."""

    def __init__(self, client: Client, feed: Feed, mailbox: Mailbox, screen: Screen, live: Live) -> None:
        self._client = client
        self._feed = feed
        self._mailbox = mailbox
        self._screen = screen
        self._live = live
        self._lost = ""
        self._keys = KeyReader()

    def run(self, keyboard: int, ended: Callable[[], bool]) -> None:
        """Until the operator quits, the keyboard has gone, or `ended`.

        Args:
            keyboard: the descriptor of the keys.
            ended: looked at after each wait.
        """
        while True:
            self._draw()
            wait = _ESCAPE_SECONDS if self._keys.waits else None
            readable, _, _ = select.select([keyboard, self._mailbox.fileno()], [], [], wait)
            if ended():
                return
            for news in self._mailbox.take():
                self._take(news)
            keys = []
            if keyboard in readable:
                data = os.read(keyboard, 1024)
                if not data:
                    return
                keys = self._keys.feed(data)
            elif not readable:
                keys = self._keys.flush()
            for key in keys:
                intent = self._screen.key(key)
                if isinstance(intent, Quit):
                    return
                if intent is not None:
                    self._do(intent)

    def _draw(self) -> None:
        size = self._live.console.size
        self._live.update(screen_of(self._screen, self._lost, size.width, size.height), refresh=True)

    def _take(self, news: News) -> None:
        match news:
            case State():
                self._lost = ""
                self._screen.update(state=news.state)
            case Calls():
                self._screen.update(calls=news.answer)
            case Lost():
                since = self._lost.partition(" (")[0] or f"no connection since {datetime.now():%H:%M:%S}"
                self._lost = f"{since} ({'; '.join(news.failure.faults)}): what you see is old; trying again"
            case Done():
                self._screen.message = news.text

    def _do(self, intent: Intent) -> None:
        match intent:
            case Resort():
                self._feed.follow(self._screen.sort)
            case Close():
                act(self._mailbox, lambda: _close(self._client, intent.id))
            case Drain():
                act(self._mailbox, lambda: _drain(self._client, intent))


def _close(client: Client, call: str) -> str:
    client.ask("DELETE", "/tunnels/" + quote(call, safe="", errors="replace"))
    return f"closed {printable(call)}"


def _drain(client: Client, wanted: Drain) -> str:
    answer = client.ask("DELETE" if wanted.undo else "POST", "/drain", wanted.scope.body)
    if wanted.undo:
        return f"{wanted.scope}: no longer drained"
    return f"{wanted.scope}: draining, {remain(wanted.scope.remaining(answer))}"
