"""Who looks at the dashboard while it is measured: a program that reads /events, or the page in a headless Chromium."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bench.peers.base import Address

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_TIMEOUT = 10.0  # seconds without a byte
_READ_BYTES = 1 << 16
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]

# In the page: what it draws (User Timing), what keeps it from drawing (Long Tasks), and the screen's frames.
_OBSERVE = """() => {
  const seen = { drawn: [], tasks: [], frames: 0, began: performance.now() };
  window.seen = seen;
  const note = (type, into) => new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) into.push(entry.duration);
  }).observe({ type, buffered: false });
  note("measure", seen.drawn);
  note("longtask", seen.tasks);
  const frame = () => { seen.frames += 1; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
_SEEN = """() => ({
  seconds: (performance.now() - seen.began) / 1000, frames: seen.frames, drawn: seen.drawn, tasks: seen.tasks,
  rows: document.querySelectorAll("#calls tbody tr").length, nodes: document.querySelectorAll("*").length,
})"""


class NoBrowser(Exception):
    """There is no browser; the message has one line."""


class Reader:
    """Reads the stream as the page asks for it.

    Args:
        admin: the admin address.
    """

    def __init__(self, admin: Address) -> None:
        self._admin = admin
        self._came = self._before = 0

    def __enter__(self) -> Self:
        self._socket = socket.create_connection(self._admin, _TIMEOUT)
        self._socket.sendall(f"GET /events?sort=age HTTP/1.1\r\nHost: {self._admin[0]}\r\n\r\n".encode())
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while data := self._socket.recv(_READ_BYTES):
            self._came += len(data)

    def begin(self) -> None:
        """Measure from now on."""
        self._before = self._came

    def measured(self, lasted: float) -> Mapping[str, float]:
        """What came since.

        Args:
            lasted: seconds.
        """
        return {"bytes": (self._came - self._before) / lasted}


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium.

    Raises:
        NoBrowser: Playwright or Chromium is not installed.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise NoBrowser("there is no Chromium: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser("there is no Playwright: pip install playwright") from None
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield opened
        finally:
            opened.close()


class Page:
    """The page itself, 1280 pixels wide.

    Args:
        shown: the browser.
        admin: the admin address.
    """

    def __init__(self, shown: Browser, admin: Address) -> None:
        self._browser = shown
        self._admin = admin

    def __enter__(self) -> Self:
        self._page = self._browser.new_page(viewport={"width": 1280, "height": 900})
        self._page.goto("http://{}:{}/".format(*self._admin))
        self._page.locator("#calls tbody tr").first.wait_for()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.close()

    def begin(self) -> None:
        """Measure from now on."""
        self._protocol = self._page.context.new_cdp_session(self._page)
        self._protocol.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time, not that of a clock
        self._page.evaluate(_OBSERVE)
        self._before = self._tasks()

    def _tasks(self) -> float:
        """CPU seconds of the page's main thread: scripts, styles, layout, paint (Chrome DevTools Protocol)."""
        told = self._protocol.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration"))

    def measured(self, lasted: float) -> Mapping[str, float]:
        """What the page has drawn since.

        Args:
            lasted: seconds; the page has its own clock.
        """
        cpu = self._tasks() - self._before
        seen = self._page.evaluate(_SEEN)
        drawn, tasks = sorted(seen["drawn"]), seen["tasks"]
        return {
            "cpu": 100 * cpu / seen["seconds"],
            "cpu_ms": 1e3 * cpu / max(1, len(drawn)),
            "drawn": len(drawn) / seen["seconds"],
            "frames": seen["frames"] / seen["seconds"],
            "draw_ms": drawn[len(drawn) // 2] if drawn else 0.0,
            "longest_ms": max([*drawn, *tasks, 0.0]),
            "tasks": len(tasks) / seen["seconds"],
            "rows": seen["rows"],
            "nodes": seen["nodes"],
        }
