"""The discovery process obeys, lives, and leaves the snapshot to the next one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from splicer.ipc.board import Column
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.messages import Absent, Discover, Serving, Stop
from splicer.upstream.snapshot import EndpointSnapshot, encode
from tests.discovery.conftest import Discovery, logged, running
from tests.kit.driven import OWN, TIMEOUT
from tests.upstream.snapshots import found, row

KEY = "voice/agent:8000"
AGENT = found(row("agent-0", "10.0.0.1"))
CONFIG = """
[kubernetes]
api = "http://127.0.0.1:1"
[upstreams.any]
address = "agent.voice.svc:8000"
discovery = "kubernetes"
[[routes]]
name = "all"
prefix = "/"
upstream = "any"
"""


def _beat_goes_on(discovery: Discovery) -> None:
    row_of_it = discovery.board.row(OWN)
    first, end = row_of_it[Column.BEAT], time.monotonic() + TIMEOUT
    while row_of_it[Column.BEAT] < first + 2:
        assert time.monotonic() < end, "its heart stands still"
        time.sleep(0.01)


def test_it_lives_obeys_and_ends_when_it_is_told_to(discovery: Discovery) -> None:
    command = Path(f"/proc/{discovery.pid}/cmdline").read_bytes()
    assert command.strip(b"\0") == b"splicer: discovery"
    discovery.serve()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(discovery.pid, signum)
    _beat_goes_on(discovery)
    discovery.board.row(3)[Column.SLOT] = 2
    assert discovery.hear() == Absent((2,))
    with discovery.introduce(2, 12345):
        discovery.board.row(4)[Column.SLOT] = 1
        while (said := discovery.hear()) == Absent((2,)):
            pass
        assert said == Absent((1,))
        discovery.tell(Stop())
        assert discovery.wait() == 0


def test_the_end_of_the_supervisor_ends_it(discovery: Discovery) -> None:
    discovery.serve()
    discovery.control.close()
    assert discovery.wait() == 0


def test_a_text_that_it_can_not_read_is_told_and_what_nobody_wants_leaves_the_snapshot() -> None:
    with logged() as lines, running() as discovery:
        memory = EndpointMemory(discovery.board.endpoints, writable=True)
        memory.publish(encode({KEY: AGENT, "voice/other:80": AGENT}, {}))
        snapshot = EndpointSnapshot(EndpointMemory(discovery.board.endpoints))
        discovery.serve()
        discovery.configure("nonsense")
        discovery.configure(CONFIG)
        end = time.monotonic() + TIMEOUT
        while snapshot.services.keys() != {KEY}:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert snapshot.services[KEY].rows == AGENT.rows, "what is wanted stays"
        discovery.tell(Stop())
        discovery.wait()
    assert [line["process"] for line in lines if line["event"] == "config_unread"] == ["discovery"]


@pytest.mark.slow
def test_the_next_one_waits_for_the_end_of_the_one_before(discovery: Discovery) -> None:
    discovery.serve()
    with running(discovery.board) as another:
        another.tell(Discover(1))
        with pytest.raises(AssertionError, match="it says nothing"):
            another.hear(0.3)
        os.kill(discovery.pid, signal.SIGKILL)
        assert another.hear() == Serving(1)
