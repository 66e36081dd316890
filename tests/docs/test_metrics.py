"""docs/metrics.md has every family that /metrics shows, with its kind and its labels, and none besides."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deploy.families import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`splicer_[^|]+) \| (counter|gauge|histogram) \| ([^|]*)\|", re.MULTILINE)
NAME = re.compile(r"`(\w+)`")


def test_the_page_has_every_family() -> None:
    rows = ((NAME.findall(names), kind, tuple(NAME.findall(labels))) for names, kind, labels in ROW.findall(PAGE))
    written = {name: (kind, labels) for names, kind, labels in rows for name in names}
    assert written == {name: (family.kind, tuple(family.labels)) for name, family in FAMILIES.items()}
