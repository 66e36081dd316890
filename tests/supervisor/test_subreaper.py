"""The parent of orphans."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from splicer.supervisor import launch
from splicer.supervisor.subreaper import become_subreaper

_CHECKOUT = Path(launch.__file__).resolve().parents[2]
_ORPHAN = """
import os
from splicer.supervisor.subreaper import become_subreaper
become_subreaper()
told, tell = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(told, 1)
        os._exit(3)
    os._exit(2)
print(os.wait()[1] >> 8)
os.write(tell, b"x")
print(os.wait()[1] >> 8)
"""


def test_an_orphan_becomes_a_child() -> None:
    command = [sys.executable, "-c", _ORPHAN]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_CHECKOUT)
    assert ran.stdout.split() == ["2", "3"]


def test_where_it_is_not_permitted_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = SimpleNamespace(prctl=lambda *_: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    ctypes.set_errno(1)
    with pytest.raises(PermissionError):
        become_subreaper()
