"""A forked process is as one that was executed."""

from __future__ import annotations

import json
import os

from splicer.supervisor import launch
from tests.template.stand import Stand


def test_its_command_line_is_its_own(template: Stand) -> None:
    _, told = template.fork()
    words = json.dumps({"fds": [], "answer": told["answer"], "code": 0, "parent": os.getpid()})
    assert told["words"] == [words]


def test_the_rest_is_as_if_it_had_been_executed(template: Stand) -> None:
    _, told = template.fork()
    assert set(told["blocked"]) == set(launch.SIGNALS), "until it has its handlers"
    assert told["cwd"] == os.getcwd()  # noqa: PTH109 - as a string
    assert told["threads"] == 1
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "PYTEST"))}
    assert environ.items() <= told["environ"].items()


def test_its_collector_leaves_the_shared_pages_alone_and_works(template: Stand) -> None:
    _, told = template.fork()
    assert told["frozen"]
    assert told["enabled"]
