"""The dashboard's files: for browsers alone, with headers that let nothing but its own code run."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from tests.admin.rig import CONFIG, rig
from tests.kit.wire import ask

_UI = resources.files("splicer.admin") / "ui"
_HTML = "Accept: text/html,application/xhtml+xml"


async def test_the_page_is_for_browsers() -> None:
    async with rig() as admin:
        page = await ask(admin.address, "GET", "/", _HTML, "Connection: close", host="localhost")
        assert (page.status, page.get("Content-Type"), page.get("Cache-Control")) == (
            200, "text/html; charset=utf-8", "no-store")  # fmt: skip
        policy = page.get("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert (page.get("X-Content-Type-Options"), page.get("Referrer-Policy")) == ("nosniff", "no-referrer")
        assert (await admin.ask("GET", "/"))[0] == 404
        assert (await admin.ask("GET", "/", Accept="application/json"))[0] == 404


async def test_the_file_may_switch_it_off() -> None:
    async with rig("[server]\ndashboard = false\n" + CONFIG) as admin:
        status, body = await admin.ask("GET", "/", Accept="text/html")
        assert status == 404
        assert body == {"error": "there is no / here; the dashboard is for browsers (server.dashboard)"}


@pytest.mark.parametrize("name", ["app.js", "draw.js", "table.js", "style.css"])
async def test_its_files_are_kept_by_browsers(name: str) -> None:
    async with rig() as admin:
        first = await ask(admin.address, "GET", f"/ui/{name}", "Connection: close", host="localhost")
        assert (first.status, first.body) == (200, (_UI / name).read_bytes())
        tag = first.get("ETag")
        again = await ask(
            admin.address, "GET", f"/ui/{name}", f"If-None-Match: {tag}", "Connection: close", host="localhost"
        )
        assert (again.status, again.body, again.get("ETag")) == (304, b"", tag)


@pytest.mark.parametrize("path", ["/ui/", "/ui/x.js", "/ui/index.html", "/ui/..%2Fpage.py", "/ui/../page.py", "/ui"])
async def test_there_are_no_other_files(path: str) -> None:
    async with rig() as admin:
        assert (await admin.ask("GET", path))[0] in (400, 404)


def test_the_files_are_small_and_nothing_in_them_needs_more_than_the_policy_allows() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in _UI.iterdir()}
    assert sum(map(len, texts.values())) < 60_000
    for name, text in texts.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), (
            name
        )
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
    page = texts["index.html"]
    assert not re.search(r"<script(?! type=\"module\" src=\"/ui/)|\bon[a-z]+=|style=", page)
