from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.base import Job
from bench.peers.template import fill, routes

JOB = Job((("agent-1", "127.0.0.10"),), 8000, ("127.0.0.1", 5353), routes=2)


def test_a_name_that_nobody_gives_is_an_error() -> None:
    with pytest.raises(KeyError, match="admin"):
        fill("routing.toml", JOB, ("127.0.0.1", 8080), Path("/home"), routes="", listener="")


def test_a_job_is_in_the_text() -> None:
    text = fill(
        "routing.toml",
        JOB,
        ("127.0.0.1", 8080),
        Path("/home"),
        routes="",
        listener='"1.2.3.4:80"',
        admin="127.0.0.1:9901",
    )
    assert 'listen = "1.2.3.4:80"' in text
    assert 'nameservers = ["127.0.0.1:5353"]' in text
    assert 'address = "{pod}.pods.bench:8000"' in text
    assert "@@" not in text


def test_each_route_has_its_prefix_and_number() -> None:
    assert routes(JOB, "PREFIX is NUMBER\n") == "/other-1/ is 1\n/other-2/ is 2\n"
