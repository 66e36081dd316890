"""A file that has changed, or is another one, has another signature."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from splicer.configfile.signature import signature_of


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("text")
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: None, True),
        (lambda path: path.chmod(path.stat().st_mode & 0o777), True),
        (lambda path: path.chmod(0o400), False),
        (lambda path: os.utime(path, ns=(0, 1)), False),
        (lambda path: path.write_text("longer than before"), False),
        (_replaced, False),
    ],
)
def test_it_is_another_one(tmp_path: Path, change: Callable[[Path], object], same: bool) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    before = signature_of(path.stat())
    change(path)
    assert (signature_of(path.stat()) == before) is same
