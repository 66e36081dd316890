"""A headless Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

# As root there is no sandbox; the others keep it from looking for the outside world.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATH = shutil.which("chromium") or shutil.which("chromium-browser")
needed = pytest.mark.skipif(PATH is None, reason="there is no Chromium: apt-get install chromium")


@contextmanager
def browser(*more: str) -> Iterator[Browser]:
    """Run one.

    Args:
        more: further options of its command line.
    """
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PATH, args=[*_FLAGS, *more])
        try:
            yield opened
        finally:
            opened.close()


def start_call(url: str, seconds: int) -> subprocess.Popen[bytes]:
    """A call of `splicer demo`'s caller, in a process of its own."""
    command = [sys.executable, "-m", "splicer.demo", url, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
