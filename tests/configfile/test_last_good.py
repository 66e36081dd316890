"""The last configuration that was accepted, in a file."""

from __future__ import annotations

import stat
from pathlib import Path

from splicer.configfile.last_good import LastGood
from tests.supervisor.harness import Said


def test_the_newest_is_there_whole_and_nobody_elses_business(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "kept", Said())
    assert not kept.is_there
    for text in ("one\r\n", "another: é"):
        kept.keep(text)
        assert kept.is_there
        assert (tmp_path / "kept").read_bytes() == text.encode()
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_an_earlier_life_has_left_half_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".kept.new").write_text("half")
    LastGood(tmp_path / "kept", Said()).keep("whole")
    assert (tmp_path / "kept").read_text() == "whole"


def test_a_link_in_its_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / ".kept.new").symlink_to("other")
    LastGood(tmp_path / "kept", Said()).keep("ours")
    assert (tmp_path / "other").read_text() == "theirs"
    assert (tmp_path / "kept").read_text() == "ours"


def test_the_same_is_not_written_again(tmp_path: Path) -> None:
    kept = LastGood(tmp_path / "kept", Said())
    kept.keep("text")
    before = (tmp_path / "kept").stat().st_ino
    kept.keep("text")
    assert (tmp_path / "kept").stat().st_ino == before


def test_a_place_that_takes_nothing_is_told_of_and_tried_again(tmp_path: Path) -> None:
    said = Said()
    kept = LastGood(tmp_path / "later" / "kept", said)
    kept.keep("text")
    [line] = said.of("config_not_kept")
    assert (line["level"], line["file"]) == ("error", str(tmp_path / "later" / "kept"))
    (tmp_path / "later").mkdir()
    kept.keep("text")
    assert kept.is_there


def test_without_a_name_nothing_is_kept() -> None:
    kept = LastGood(None, Said())
    kept.keep("text")
    assert not kept.is_there
