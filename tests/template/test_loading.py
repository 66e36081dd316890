"""The programs that the template forks."""

from __future__ import annotations

import linecache

import pytest

from splicer.configfile import inspect
from splicer.supervisor import launch
from splicer.template.loading import load
from splicer.worker import __main__ as worker


def test_all_that_may_be_forked_are_loaded() -> None:
    programs = load()
    assert programs.keys() == launch.FORKED
    assert (programs[launch.WORKER], programs[launch.INSPECT]) == (worker.main, inspect.main)


def test_the_text_of_what_was_made_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecache, "cache", {"<attrs generated methods>": (1, None, ["text"], "")})
    load()
    assert not linecache.cache
