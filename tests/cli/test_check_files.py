"""`splicer check --files`: certificates and keys, as the tls processes will read them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from splicer.cli.check_files import check_files
from splicer.config.load import load
from splicer.config.schema import Config
from tests.kit.tls import Certificates

_FILE = Path("routing.toml")


def configured(*folders: Path) -> Config:
    listed = ", ".join(f'"{folder}"' for folder in folders)
    server = '[server]\nlisten = [{ address = "127.0.0.1:8443", tls = "edge" }]\n'
    route = '[[routes]]\nname = "all"\nprefix = "/"\nrespond = { status = 204 }\n'
    return load(f"{server}[tls.edge]\ncertificates = [{listed}]\n{route}", environ={})


def test_sound_files_are_nothing_to_talk_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_files(_FILE, configured(Certificates(tmp_path).folder("edge", "a.test")))
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_a_line_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = Certificates(tmp_path).by_uri("old", "spiffe://a.test/x", days=-1)
    check_files(_FILE, configured(old))
    assert capsys.readouterr() == ("", f"routing.toml: warning: edge: {old} has expired\n")


def test_a_fault_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        check_files(_FILE, configured(tmp_path / "nothing"))
    assert ended.value.exit_code == 1
    fault = f"routing.toml: [tls.edge] {tmp_path / 'nothing'}: No such file or directory"
    assert capsys.readouterr() == ("", f"splicer: {fault}\n")


def test_without_tls_no_file_is_read() -> None:
    check_files(_FILE, load('[[routes]]\nname = "a"\nprefix = "/"\nrespond = { status = 204 }\n', environ={}))
