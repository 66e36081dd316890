"""What pages link to and name is there; and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md"), *ROOT.glob("bench/*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
FILE = re.compile(r"[\w./-]*\w/[\w./-]*\w\.(?:py|toml|md|yaml|yml|json)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# As GitHub makes them.
def anchors(page: Path) -> set[str]:
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {word.strip().replace(" ", "-") for word in words}


def broken(page: Path) -> list[str]:
    faults = []
    for link in LINK.findall(CODE.sub("", prose(page))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            faults.append(link)
    return faults


# A path is written from the root, from `splicer/`, or from the page's own directory.
def missing(page: Path) -> list[str]:
    named = {path for code in CODE.findall(prose(page)) for path in FILE.findall(code)}
    return [
        path
        for path in sorted(named)
        if not any((base / path).exists() for base in (ROOT, ROOT / "splicer", page.parent))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    assert missing(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    links = "[a](#one-two-three) [b](#four) [c](other.md) [d](page.md#one-two-three) [e](page.md#x)"
    page.write_text(f"# One `two`, three\n{links}\n")
    assert broken(page) == ["#four", "other.md", "page.md#x"]


def test_a_file_that_is_gone_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`relay/hub.py`, `splicer/relay/hub.py`, `page.md`, `relay/gone.py`, `rm -f docs/gone.md`\n")
    assert missing(page) == ["docs/gone.md", "relay/gone.py"]


def test_every_document_is_linked_from_the_readme() -> None:
    linked = LINK.findall(prose(ROOT / "README.md"))
    wanted = [page.relative_to(ROOT).as_posix() for page in PAGES if page.parent in (ROOT, ROOT / "docs")]
    assert sorted(set(wanted) - {"README.md"} - set(linked)) == []


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9 * 1024
