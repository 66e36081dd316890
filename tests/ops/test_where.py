"""Which address is asked: the option's or the file's."""

from __future__ import annotations

from pathlib import Path

import pytest

from splicer.config.scalars import BadValue
from splicer.ops.failure import AdminFailed
from splicer.ops.where import admin_address, admin_of

ROUTE = '[[routes]]\nname = "all"\nprefix = "/"\nrespond = { status = 200 }\n'


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9901", ("127.0.0.1", 9901)),
        ("[::1]:9901", ("::1", 9901)),
        ("localhost:1", ("localhost", 1)),
        ("splicer-0.splicer.voice:65535", ("splicer-0.splicer.voice", 65535)),
    ],
)
def test_an_address(text: str, address: tuple[str, int]) -> None:
    assert admin_address(text) == address


@pytest.mark.parametrize("text", ["", "127.0.0.1", "9901", ":9901", "::1", "h:0", "h:65536", "h:x", "a b:1", "1.2.3:1"])
def test_no_address(text: str) -> None:
    with pytest.raises(BadValue, match=r"port|neither"):
        admin_address(text)


@pytest.mark.parametrize(
    ("setting", "address"), [("", ("127.0.0.1", 9901)), ('admin = "[::1]:${PORT}"', ("::1", 7000))]
)
def test_the_files(setting: str, address: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "7000")
    path = tmp_path / "routing.toml"
    path.write_text(f"[server]\n{setting}\n{ROUTE}")
    assert admin_of(path) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'[server]\nadmin = "off"\n{ROUTE}', ('admin = "off"',)),
        (f'[server]\nadmin = "127.0.0.1:0"\n{ROUTE}', ('"127.0.0.1:0" leaves the port open',)),
        ("[server]\nworkrs = 1\nadmn = 2\n", ("admn", "workrs", "[[routes]]", "go without the file")),
        (None, ("No such file", "go without the file")),
    ],
)
def test_a_file_that_names_none(text: str | None, words: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AdminFailed) as failed:
        admin_of(path)
    faults = failed.value.faults
    assert len(faults) == len(words)
    assert all(word in line for word, line in zip(words, faults, strict=True))
    assert "--admin HOST:PORT" in faults[-1]
