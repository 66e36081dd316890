"""The pictures in docs/screenshots: the dashboard in Chromium and `splicer top` in tmux, beside the same demo.

SPLICER_SCREENSHOTS=docs/screenshots pytest tests/e2e/test_screenshots.py
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Browser, expect

from splicer.demo.places import ADMIN, EDGE_HOST, PODS
from splicer.ops.client import Client
from splicer.ops.where import admin_address
from tests.e2e.browsers import browser, needed
from tests.e2e.pictures import keep, terminal_picture
from tests.kit.tmux import needs_tmux, terminal

_ASKED = pytest.mark.skipif("SPLICER_SCREENSHOTS" not in os.environ, reason="SPLICER_SCREENSHOTS names no directory")
pytestmark = [pytest.mark.slow, pytest.mark.alone, _ASKED, needed, needs_tmux]

_LOCK = Path(__file__).parents[1] / "demo" / "conftest.py"  # whoever has it may use the demo's addresses
_DRAINED = list(PODS)[1]
_WIDTH, _HEIGHT = 132, 13  # characters
_TIMEOUT = 60_000  # milliseconds


@contextmanager
def _running(says: str, *words: str) -> Iterator[None]:
    """A program of splicer's that has said this; it is interrupted at the end."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert any(says in line for line in process.stdout)
            reader = threading.Thread(target=process.stdout.read, daemon=True)
            reader.start()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        reader.join(10)


# The demo's own calls end after 20 s to 90 s, and it begins them in any order: what a picture shows must stay.
@pytest.fixture(scope="module")
def demo() -> Iterator[None]:
    """A demo with calls, the oldest first, and a pod that is drained."""
    with _LOCK.open("rb") as lock, ExitStack() as running:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running.enter_context(_running("Ctrl-C ends the demo", "splicer", "demo", "--calls", "0"))
        for number, pod in enumerate(PODS, start=1):
            url = f"ws://{EDGE_HOST}:8080/ws/pod/{pod}/caller-{number}"
            running.enter_context(_running("answered after", "splicer.demo", url, "600"))
        Client(*admin_address(ADMIN)).ask("POST", "/drain", {"pod": _DRAINED})
        yield


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def test_the_page(demo: None, chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto(f"http://{ADMIN}/")
    expect(page.locator("#calls tbody tr")).to_have_count(len(PODS), timeout=_TIMEOUT)
    expect(page.locator("#calls tbody td").nth(7)).not_to_have_text("0", timeout=_TIMEOUT)
    expect(page.locator("svg .node.drained").first).to_be_visible()
    shown = page.screenshot(full_page=True)
    keep("dashboard.png", shown)
    page.close()


def _as_shown() -> str:
    async def look() -> str:
        with terminal(_WIDTH, _HEIGHT) as screen:
            await screen.run(f"{sys.executable} -m splicer top --admin {ADMIN}")
            await screen.shows(lambda lines: sum("kB/s" in line for line in lines) == len(PODS))
            await screen.type("Down")
            await screen.shows(lambda lines: any(line.startswith(f"> {_DRAINED} ") for line in lines))
            return await screen.picture()

    return trio.run(look)


def test_top(demo: None, chromium: Browser) -> None:
    screen = _as_shown()
    assert "\x1b[7m" in screen, "the selected row is reversed"
    assert f"drained: pod {_DRAINED}" in screen
    shown = terminal_picture(chromium, screen, _WIDTH)
    keep("top.png", shown)
