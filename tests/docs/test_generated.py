"""What docs/ has from the code is current; and what it tells users to write is right."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate
from splicer.config.load import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")])
EXAMPLES = [
    pytest.param(example, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, example in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1)
]
MARKS = "<!-- keys: {} -->\n"


def test_the_files_are_current() -> None:
    generate.main(["--check"])


def test_a_file_that_is_not_current_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "configuration.md"
    page.write_text("before\n" + MARKS.format("log") + "old\n<!-- end -->\nafter\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    with pytest.raises(
        SystemExit, match=r"^routing.schema.json is not current; say make docs\nconfiguration.md is not"
    ):
        generate.main(["--check"])
    generate.main([])
    generate.main(["--check"])
    assert "| `progress` | duration, or" in page.read_text()
    assert page.read_text().startswith("before\n<!-- keys: log -->\n| key ")
    assert page.read_text().endswith("|\n<!-- end -->\nafter\n")


@pytest.mark.parametrize("table", generate.TABLES)
def test_every_table_is_on_the_page(table: str) -> None:
    assert PAGE.count(MARKS.format(table)) == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads(example: str) -> None:
    assert load(example, environ={}).routes


TAPLO = Path(sys.executable).parent / "taplo"
SHIPPED = ("deploy/base/routing.toml", "splicer/demo/routing.toml")


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TAPLO, "check", "--colors=never", file], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("file", SHIPPED)
def test_an_editor_finds_the_schema_of_a_shipped_file_and_no_fault(file: str) -> None:
    result = checked(ROOT / file)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("file", SHIPPED)
def test_an_editor_finds_what_is_wrong(tmp_path: Path, file: str) -> None:
    copy = tmp_path / file
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / file).read_text(encoding="utf-8").replace("[server]\n", "[server]\nworkrs = 2\n"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    result = checked(copy)
    assert result.returncode == 1
    assert "workrs" in result.stderr
