"""From a file to a configuration in force; what can't be read is one clear line, and a fault tells its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splicer.configfile.read import prepare, read_config, read_file, read_text_of
from splicer.configfile.signature import signature_of
from splicer.errors import ConfigError
from splicer.model import Respond

GOOD = """
[limits]
body_bytes = "{size}"
[[routes]]
name = "health"
path = "/health"
respond = {{ status = 200, body = "${{BODY}} ü" }}
"""
ENVIRON = {"BODY": "fine"}


def faults_of(error: ConfigError) -> str:
    assert all("\n" not in fault for fault in error.faults)
    return "\n".join(error.faults)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routing.toml"
    path.write_text(GOOD.format(size="1KiB"), encoding="utf-8")
    return path


def test_a_good_file(path: Path) -> None:
    assert read_text_of(path) == GOOD.format(size="1KiB")
    assert read_config(path, ENVIRON).limits.body_bytes == 1024


def test_a_file_and_which_it_was(path: Path) -> None:
    path.write_bytes(b"one\r\ntwo\r")
    assert read_file(path) == ("one\ntwo\n", signature_of(path.stat()))
    assert read_text_of(path) == "one\ntwo\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_called_by_its_name(path: Path, encoding: str) -> None:
    path.write_bytes((("\ufeff" if encoding == "utf-16-be" else "") + "[server]\n").encode(encoding))
    for read in (read_text_of, read_file):
        with pytest.raises(ConfigError) as refused:
            read(path)
        fault = f"{path}: begins with the byte-order mark (BOM) of UTF-16; save it as UTF-8"
        assert refused.value.faults == (fault,)


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_what_would_be_read_for_ever_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "routing.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"directory|not a regular file"):
        read_file(path)


def test_a_file_without_measure_is_refused(path: Path) -> None:
    os.truncate(path, 1 << 30)
    with pytest.raises(ConfigError, match="more than 16 MiB"):
        read_file(path)


def test_a_text_is_prepared_without_its_file(path: Path) -> None:
    path.unlink()
    prepared = prepare(GOOD.format(size="2KiB"), path, ENVIRON)
    assert prepared.config.limits.body_bytes == 2048
    assert prepared.table.routes == prepared.config.routes
    respond = prepared.config.routes[0].respond
    assert isinstance(respond, Respond)
    assert respond.body == "fine ü".encode()


def test_every_fault_of_a_text_is_told_with_the_files_name(path: Path) -> None:
    bad = GOOD.format(size="huge") + "[[routes]]\nname = 'x'\npth = '/'\n"
    path.write_text(bad)
    with pytest.raises(ConfigError) as prepared:
        prepare(bad, path, ENVIRON)
    with pytest.raises(ConfigError) as read:
        read_config(path, ENVIRON)
    assert prepared.value.faults == read.value.faults
    assert all(str(path) in fault for fault in read.value.faults)
    faults = faults_of(read.value)
    assert "body_bytes" in faults
    assert "pth" in faults


def test_a_variable_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(path.read_text(), path, {})
    assert "BODY" in faults_of(caught.value)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"x = " + b"[" * 100_000, b"", b"\x00"])
def test_a_file_that_is_none_is_one_clear_line(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        read_config(path, ENVIRON)
    [fault] = caught.value.faults
    assert str(path) in fault
    assert "\n" not in fault


def test_where_a_text_is_no_utf_8(path: Path) -> None:
    path.write_bytes(b"# \xc3\xbc \xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        read_text_of(path)


@pytest.mark.parametrize("name", ["none.toml", ""])
def test_a_file_that_can_not_be_read_is_one_clear_line(tmp_path: Path, name: str) -> None:
    for read in (read_text_of, lambda path: read_config(path, {})):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path / name)
        [fault] = caught.value.faults
        assert fault.startswith(f"{tmp_path / name}: ")
        assert "\n" not in fault
