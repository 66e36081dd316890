"""The programs that the template forks."""

from __future__ import annotations

import linecache

import pytest

from splicer.configfile import inspect
from splicer.supervisor import launch
from splicer.template import __main__ as template
from splicer.template.loading import load
from splicer.worker import __main__ as worker


def test_a_program_is_a_module_or_a_package() -> None:
    assert load([launch.WORKER, launch.INSPECT]) == {launch.WORKER: worker.main, launch.INSPECT: inspect.main}


def test_all_that_may_be_forked_are_loaded() -> None:
    assert set(template._PROGRAMS) == launch.FORKED


def test_one_that_is_not_there_is_told() -> None:
    with pytest.raises(ImportError):
        load(["splicer.nothing"])


def test_the_text_of_what_was_made_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecache, "cache", {"<attrs generated methods>": (1, None, ["text"], "")})
    load([launch.INSPECT])
    assert not linecache.cache
