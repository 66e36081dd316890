"""The programs that the template forks."""

from __future__ import annotations

import linecache
import subprocess
import sys

import pytest

from splicer.configfile import inspect
from splicer.supervisor import launch
from splicer.template.loading import load
from splicer.worker import __main__ as worker


def test_all_that_may_be_forked_are_loaded() -> None:
    programs = load()
    assert programs.keys() == launch.FORKED
    assert (programs[launch.WORKER], programs[launch.INSPECT]) == (worker.main, inspect.main)


_HEAVY = (
    "dns",
    "prometheus_client",
    "http.server",
    "email.message",
    "importlib.metadata",
    "zipfile",
    "difflib",
)


def test_what_no_process_needs_is_not_loaded() -> None:
    """Each has brought half a megabyte and more, and some are there for the tests alone."""
    told = "from splicer.template import __main__ as t; t.load(); t.warm_up(); import sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "splicer.worker.__main__" in loaded
    assert not set(_HEAVY) & set(loaded)


def test_the_text_of_what_was_made_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecache, "cache", {"<attrs generated methods>": (1, None, ["text"], "")})
    load()
    assert not linecache.cache
