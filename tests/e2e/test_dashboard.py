"""The dashboard in a real browser, beside the demo: what it shows and does, and what a stranger's page can't do."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsers import browser, needed, start_call

pytestmark = [pytest.mark.slow, needed]

_DEMO = Path(__file__).parents[1] / "demo" / "conftest.py"  # whoever has its lock may use the demo's addresses
_ADMIN = "http://127.0.0.20:9901"
_EDGE = "127.0.0.1:8080"
_TIMEOUT = 20_000  # milliseconds
_CALL = f"ws://{_EDGE}/ws/pod/voice-agent-1/hello"


class Demo:
    def __init__(self, process: subprocess.Popen[str], pid: int, file: Path) -> None:
        self.process = process
        self.pid = pid
        self.file = file

    def children(self, title: str) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(self.pid), "-f", title], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def reload(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")
        os.kill(self.pid, signal.SIGHUP)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with _DEMO.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", "splicer", "demo", "--calls", "0"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"The edge is process (\d+), its file (\S+)", line):
                break
        else:
            pytest.fail("the demo has not begun")
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        yield Demo(process, int(found[1]), Path(found[2]))
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        reader.join(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(demo: Demo, chromium: Browser) -> Iterator[Page]:
    shown = chromium.new_page(viewport={"width": 1280, "height": 900})
    shown.set_default_timeout(_TIMEOUT)
    expect.set_options(timeout=_TIMEOUT)
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto(f"{_ADMIN}/")
    expect(shown.locator("svg .node").first).to_be_visible()
    yield shown
    shown.close()
    assert errors == []


@pytest.fixture
def call() -> Iterator[subprocess.Popen[bytes]]:
    """A call to voice-agent-1."""
    process = start_call(_CALL, 120)
    yield process
    process.kill()
    process.wait()


def rows(page: Page) -> list[str]:
    return page.locator("#calls tbody tr").all_inner_texts()


def test_the_picture_has_the_demos_topology(page: Page) -> None:
    shown = [node.get_attribute("aria-label") or "" for node in page.locator("svg .node").all()]
    routes = "route pod-websocket:", "route api:"
    upstreams = "upstream pod:", "upstream any-pod:", "upstream smart-router:"
    for start in ("listener 127.0.0.1:8080:", *routes, *upstreams, "pod voice-agent-0:"):
        assert any(label.startswith(start) for label in shown), (start, shown)
    down = page.locator("svg .node.bad").filter(has_text="voice-agent-2")
    expect(down).to_be_visible()
    expect(page.locator("svg path.edge.fallback")).not_to_have_count(0)
    expect(page.locator("#workers tbody tr")).to_have_count(1)


def test_a_call_appears_its_numbers_move_and_close_ends_it(page: Page, call: subprocess.Popen[bytes]) -> None:
    row = page.locator("#calls tbody tr").filter(has_text="voice-agent-1")
    expect(row).to_have_count(1)
    expect(row.locator("td").nth(7)).not_to_have_text("0")  # bytes a second
    age = row.locator("td").nth(5).inner_text()
    expect(row.locator("td").nth(5)).not_to_have_text(age)
    node = page.locator("svg .node").filter(has_text="voice-agent-1").first
    expect(node).to_have_attribute("aria-label", re.compile(r"· 1 call$"))
    row.get_by_role("button", name="Close").click()
    expect(page.locator("#ask")).to_contain_text("The caller is cut off")
    page.get_by_role("button", name="No", exact=True).click()
    assert call.poll() is None
    row.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator("#told")).to_contain_text("is closed")
    expect(row).to_have_count(0)
    assert call.wait(20) != 0


def test_a_drained_pod_gets_no_further_call(page: Page) -> None:
    page.locator('svg .node[data-id^="pod pod voice-agent-1 "]').click()
    page.get_by_role("button", name="Drain", exact=True).click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator('svg .node.drained[data-id^="pod pod voice-agent-1 "]')).to_be_visible()
    page.locator('svg .node[data-id^="pod pod voice-agent-1 "]').click()  # the filter goes with the choice
    process = start_call(_CALL, 60)
    try:
        expect(page.locator("#calls tbody tr")).to_have_count(1)
        assert "voice-agent-1 " not in page.locator("#calls tbody tr td").first.inner_text()
    finally:
        process.kill()
        process.wait()
    page.locator('svg .node[data-id^="pod pod voice-agent-1 "]').click()
    page.get_by_role("button", name="Undo the drain").first.click()
    expect(page.locator("svg .node.drained")).to_have_count(0)


def test_draining_the_edge_asks_for_the_word(page: Page) -> None:
    page.get_by_role("button", name="Drain the edge").click()
    yes = page.get_by_role("button", name="Yes")
    expect(yes).to_be_disabled()
    page.locator("#ask-word").fill("drian")
    expect(yes).to_be_disabled()
    page.locator("#ask-word").fill("drain")
    yes.click()
    expect(page.locator("#facts")).to_contain_text("draining")
    page.get_by_role("button", name="Undo the drain of the edge").click()
    expect(page.locator("#facts")).not_to_contain_text("draining")


def test_a_reload_that_failed_is_shown_with_its_reason(page: Page, demo: Demo) -> None:
    good = demo.file.read_text(encoding="utf-8")
    expect(page.locator("#reload")).to_be_hidden()
    demo.reload(good.replace('upstream = "smart-router"', 'upstream = "smart-ruoter"', 1))
    expect(page.locator("#reload")).to_contain_text('unknown upstream "smart-ruoter"; did you mean "smart-router"?')
    demo.reload(good)
    expect(page.locator("#reload")).to_be_hidden()


def test_the_stream_comes_back_after_the_admin_process_was_killed(page: Page, demo: Demo) -> None:
    [admin] = demo.children("splicer: admin")
    os.kill(admin, signal.SIGKILL)
    expect(page.locator("#lost")).to_contain_text("No connection to the edge since")
    expect(page.locator("body")).to_have_class("lost")
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("body")).not_to_have_class("lost")


_WATCH = """() => {
  const seen = { elements: 0, texts: 0, draws: 0 };
  window.seen = seen;
  for (const place of [document.querySelector("#picture"), document.querySelector("#calls tbody")]) {
    new MutationObserver((changes) => {
      for (const change of changes) {
        const nodes = [...change.addedNodes, ...change.removedNodes];
        if (nodes.some((node) => node.nodeType === Node.ELEMENT_NODE)) seen.elements += 1; else seen.texts += 1;
      }
    }).observe(place, { childList: true, characterData: true, subtree: true });
  }
  new PerformanceObserver((list) => { seen.draws += list.getEntries().length; }).observe({ type: "measure" });
}"""


def test_only_what_changes_is_drawn(page: Page, call: subprocess.Popen[bytes]) -> None:
    expect(page.locator("#calls tbody tr")).to_have_count(1)
    page.locator("#calls").scroll_into_view_if_needed()
    expect(page.locator("#calls tbody td").nth(7)).not_to_have_text("0")
    page.evaluate(_WATCH)
    age = page.locator("#calls tbody td").nth(5)
    before = age.inner_text()
    expect(age).not_to_have_text(before)
    time.sleep(2.5)  # more than one list of calls has come
    seen = page.evaluate("seen")
    assert seen["elements"] == 0, seen
    assert seen["texts"] > 0
    assert seen["draws"] > 0, "each drawing is in the browser's timeline"
    assert page.evaluate("performance.getEntriesByType('measure').length") == 0, "and does not stay there"


def _told(**more: object) -> bytes:
    evil = "<img src=x onerror=document.title='hacked'>"
    line = {"client_rtt_ms": 1.0, "client_retransmits": 0, "pod_rtt_ms": 1.0, "pod_retransmits": 0}
    call = {
        **dict.fromkeys(("id", "route", "pod", "upstream", "endpoint", "client", "path", "protocol", "host"), evil),
        "age_s": 1.5,
        "idle_s": 0.5,
        "bytes_to_pod": 1,
        "bytes_to_client": 1,
        "rate": 3,
        "worker": 1,
        "adopted": 1,
        **line,
    }
    pod = {"name": evil, "endpoint": evil, "state": evil, "since_s": 1, "live": 1, "requests": 0, "failure": evil,
           "calls": 0, "drained": True}  # fmt: skip
    route = {"name": evil, "pattern": evil, "answers": False, "fallback": evil, "fallback_live": 1, "rate": 1,
             "upstreams": [{"name": evil, "weight": 1, "live": 1}], "errors": 0, "fallbacks": 0, "p50_ms": None,
             "p99_ms": None, "live": 1, "drained": False}  # fmt: skip
    certificate = {"side": evil, "profile": evil, "path": evil, "names": [evil], "key": evil, "not_after": evil,
                   "days_left": 1, "fault": evil, "current": True}  # fmt: skip
    state = {
        "at": "", "version": evil, "generation": 1, "uptime_s": 1, "draining": False, "connections": 1, "restarts": 0,
        "drains": [{"scope": "pod", "name": evil, "remaining": None}], "missing_workers": [],
        "reload": {"ok": False, "at": None, "faults": [evil]},
        "workers": [{"slot": 1, "tunnels": 1, "exchanges": 0, "connections": 1, "mover": evil, "pid": 1}],
        "tls": [], "certificates": [certificate], "routes": [route],
        "upstreams": [{"name": evil, "address": evil, "failures": 0, "more": 0, "pods": [pod]}],
        "listeners": [{"address": evil, "tls": evil, "proxy_protocol": False, "passthrough": False}],
    }  # fmt: skip
    tunnels = {"total": 1, "found": 1, "tunnels": [call]} | more
    return "".join(
        f"event: {kind}\ndata: {json.dumps(value)}\n\n" for kind, value in (("state", state), ("tunnels", tunnels))
    ).encode()


# Names that no edge lets through either: here the page alone is between them and the operator.
def test_whatever_the_stream_says_is_shown_as_text(page: Page) -> None:
    page.route("**/events*", lambda route: route.fulfill(status=200, content_type="text/event-stream", body=_told()))
    page.reload()
    row = page.locator("#calls tbody tr")
    expect(row).to_have_count(1)
    for place, what in enumerate(("pod", "route", "client", "host", "path")):
        assert row.locator("td").nth(place).inner_text().startswith("<img src=x onerror"), what
    expect(page.locator("svg .node.drained")).to_contain_text("<img src=x")
    expect(page.locator("#reload")).to_contain_text("<img src=x")
    expect(page.locator("#certificates tbody")).to_contain_text("<img src=x")
    page.locator("svg .node.drained").click()
    expect(page.locator("#chosen")).to_contain_text("<img src=x")
    assert page.locator("body img").count() == 0
    assert page.title() == "splicer"


# The path of a call is the client's; percent-encoding is not undone anywhere, but "<" need not be encoded.
def test_what_a_client_sends_is_shown_as_text(page: Page) -> None:
    evil = "<img/src=x/onerror=document.title='hacked'>"
    process = start_call(f"ws://{_EDGE}/ws/pod/voice-agent-1/{evil}", 30)
    try:
        row = page.locator("#calls tbody tr").filter(has_text="voice-agent-1")
        expect(row.locator("td.path")).to_contain_text("img")
        page.locator("#filter input[name=pod]").fill(evil)
        page.locator("#filter input[name=pod]").press("Enter")
        expect(page.locator("#calls-count")).to_have_text("(0 of 1)")
    finally:
        process.kill()
        process.wait()
    assert page.title() == "splicer"
    assert page.locator("main img").count() == 0


def test_another_sites_page_can_change_nothing(page: Page, chromium: Browser, call: subprocess.Popen[bytes]) -> None:
    expect(page.locator("#calls tbody tr")).to_have_count(1)
    name = page.locator("#calls tbody tr").first.get_attribute("data-key")

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>evil</p>")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        evil = chromium.new_page()
        evil.goto(f"http://127.0.0.1:{server.server_port}/")
        for method, mode in (("DELETE", "cors"), ("POST", "no-cors")):
            told = evil.evaluate(
                """([url, method, mode]) => fetch(url, {method, mode, body: method === 'POST' ? '{}' : null})
                    .then((answer) => `${answer.type} ${answer.status}`, (error) => error.name)""",
                [f"{_ADMIN}/tunnels/{name}" if method == "DELETE" else f"{_ADMIN}/drain", method, mode],
            )
            assert told in ("TypeError", "opaque 0"), told
        evil.close()
        server.shutdown()
    time.sleep(1)
    assert call.poll() is None
    expect(page.locator("#calls tbody tr")).to_have_count(1)
    expect(page.locator("#facts")).not_to_contain_text("draining")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light"), (390, "dark")])
def test_it_fits_its_window(page: Page, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two words
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colors = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert len(set(colors)) == 2


def test_the_keyboard_alone_will_do(page: Page) -> None:
    page.locator('svg .node[data-id="route pod-websocket"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen h2")).to_have_text("route pod-websocket")
    expect(page.locator("#filter select[name=route]")).to_have_value("pod-websocket")
    time.sleep(2.5)  # the picture was drawn anew meanwhile
    assert page.evaluate("document.activeElement.getAttribute('data-id')") == "route pod-websocket"
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_be_hidden()
