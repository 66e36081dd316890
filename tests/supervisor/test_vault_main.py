"""`splicer vault`, as far as it begins: what is wrong is told in one line."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from splicer.supervisor import vault_main


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_main, "setproctitle", lambda _: None)
    monkeypatch.setattr(vault_main, "raise_descriptor_limit", lambda: None)


def _run(monkeypatch: pytest.MonkeyPatch, path: Path, serve: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["vault_main", json.dumps({"socket": str(path), "keep": 600.0})])
    monkeypatch.setattr(vault_main, "serve", serve)
    return vault_main.main()


def _fails(code: int) -> Any:
    def serve(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return serve


def test_it_serves_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served: list[tuple[Any, ...]] = []
    assert _run(monkeypatch, tmp_path / "vault", lambda *arguments: served.append(arguments)) == 0
    [(path, _, keep, _, _, tls)] = served
    assert (path, keep, tls) == (tmp_path / "vault", 600.0, None)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EADDRINUSE, "another vault serves it"),
        (errno.EACCES, f"the user is {os.geteuid()}"),
        (errno.EROFS, "must be writable"),
        (errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_socket_that_can_not_be_had_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], code: int, remedy: str
) -> None:
    assert _run(monkeypatch, tmp_path / "vault", _fails(code)) == 1
    told = capfd.readouterr()
    assert remedy in told.out + told.err
    assert "Traceback" not in told.out + told.err


def test_a_path_that_no_socket_can_have_is_refused_before_it_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served: list[tuple[Any, ...]] = []
    assert _run(monkeypatch, tmp_path / ("x" * 120), lambda *arguments: served.append(arguments)) == 1
    assert served == []
    told = capfd.readouterr()
    assert "x" * 120 in told.out + told.err
