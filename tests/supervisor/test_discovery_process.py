"""The discovery process, as the supervisor keeps it."""

from __future__ import annotations

import os
import socket

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import DiscoveryArguments
from splicer.ipc.messages import Config, Discover, IntroduceWorker, Ready, Report, Serving
from tests.supervisor.harness import KILLED, Far, SupervisorHarness, all_facts_of, summary_of


def _modules(harness: SupervisorHarness) -> list[str]:
    return [far.module for far in harness.all]


def _discovery(harness: SupervisorHarness) -> Far:
    return next(far for far in reversed(harness.all) if far.module == "splicer.discovery")


def test_without_need_there_is_none(harness: SupervisorHarness) -> None:
    harness.open(workers=1, spares=1)
    assert "splicer.discovery" not in _modules(harness)


def test_it_is_started_with_what_it_needs_and_gets_the_text_in_force(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, discovery=True, text="[server]\n", format="console")
    discovery = harness.started("splicer.discovery")
    arguments = discovery.arguments
    assert arguments == DiscoveryArguments(arguments.place, "routing.toml", "console", None)
    assert arguments.place.endpoints == harness.edge.board.endpoints
    assert discovery.pending() == []
    discovery.send(Ready)
    _, fds = discovery.hear(Discover)
    assert fds == []
    discovery.send(Serving)
    _, [fd] = discovery.hear(Config)
    assert wire.read_text(os.dup(fd)) == "[server]\n"
    assert discovery.pending() == []
    assert harness.edge.discovery_process.serves


def test_a_reload_starts_it_and_stops_it(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None)
    edge = harness.edge
    edge.replace_summary(summary_of(admin=None, discovery=True))
    harness.turn()
    discovery = harness.discovery()
    discovery.pending()
    edge.replace_summary(summary_of(admin=None, discovery=True, text="another"))
    assert discovery.pending() == ["config"]
    edge.replace_summary(summary_of(admin=None))
    harness.turn()
    edge.replace_summary(summary_of(admin=None))
    assert discovery.pending() == ["stop"], "it is told once"
    discovery.die(0)
    assert _modules(harness) == ["splicer.discovery"]
    assert harness.said.of("discovery_died") == []
    assert edge.discovery_process.restarts == 0


def test_one_that_is_wanted_again_while_it_ends_is_followed_by_another(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, discovery=True)
    first = harness.discovery()
    harness.edge.replace_summary(summary_of(admin=None))
    harness.turn()
    harness.edge.replace_summary(summary_of(admin=None, discovery=True))
    harness.turn()
    assert len(harness.all) == 1, "there is one at most"
    first.die(0)
    assert _modules(harness) == ["splicer.discovery"] * 2


def test_its_death_is_told_and_another_is_started(harness: SupervisorHarness) -> None:
    harness.open(workers=0, discovery=True)
    admin, discovery = harness.admin(), harness.discovery()
    admin.pending()
    discovery.die(KILLED)
    [line] = harness.said.of("discovery_died")
    assert (line["level"], line["pid"], line["reason"], line["state"]) == ("error", discovery.pid, "SIGKILL", "serving")
    assert all_facts_of(admin)[-1].discovery_restarts == 1
    assert _discovery(harness) is not discovery


def test_a_worker_and_it_get_a_channel_whoever_comes_first(harness: SupervisorHarness) -> None:
    harness.open(workers=1, admin=None, discovery=True)
    discovery, worker = harness.discovery(), harness.worker()
    discovery.pending()
    assert [worker.next()[0].KIND for _ in range(2)] == ["prepare", "serve"]
    _, [its] = worker.hear(Report)
    discovery.die(KILLED)
    again = harness.discovery()
    assert [again.next()[0].KIND for _ in range(2)] == ["discover", "config"]
    order, [ours] = again.hear(IntroduceWorker)
    assert (order.slot, order.pid, order.speaks) == (1, worker.pid, wire.VERSION)
    _, [another] = worker.hear(Report)
    with socket.socket(fileno=os.dup(ours)) as end, socket.socket(fileno=os.dup(another)) as other:
        other.send(b"report")
        assert end.recv(100) == b"report"
        assert end.type == socket.SOCK_SEQPACKET
    assert its != another


def test_it_may_ask_for_a_worker_that_it_has_lost(harness: SupervisorHarness) -> None:
    from splicer.ipc.messages import Absent

    harness.open(workers=1, admin=None, discovery=True)
    worker, discovery = harness.worker(), harness.discovery()
    discovery.pending()
    worker.pending()
    discovery.send(Absent, slots=[1, 2])
    assert (discovery.pending(), worker.pending()) == (["worker"], ["report"])


@pytest.mark.parametrize("served", [True, False])
def test_one_that_dies_before_it_serves_delays_the_next(harness: SupervisorHarness, served: bool) -> None:
    harness.open(workers=0, admin=None, discovery=True)
    discovery = harness.started("splicer.discovery")
    discovery.send(Ready)
    if served:
        discovery.send(Serving)
    discovery.die(KILLED)
    assert len(harness.all) == (2 if served else 1)


def test_one_that_ends_by_itself_again_and_again_is_started_less_often(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    harness.open(workers=0, admin=None, discovery=True)

    def dies(status: int, after: float = 0.0) -> float:
        """How long it takes until there is another one."""
        count, died = len(harness.all), now[0] + after
        harness.discovery()
        now[0] += after
        harness.all[-1].die(status)
        while len(harness.all) == count:
            now[0] += 0.05
            harness.turn()
        return round(now[0] - died, 1)

    bug = 256  # exit 1
    assert [dies(bug) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert [dies(KILLED) for _ in range(3)] == [0.0] * 3
    assert dies(bug) == 1.6
    assert dies(bug, after=10.0) == 0.1, "it was sound for a while"


def test_it_stops_with_the_edge(harness: SupervisorHarness) -> None:
    harness.open(workers=0, discovery=True)
    admin, discovery = harness.admin(), harness.discovery()
    for far in (admin, discovery):
        far.pending()
    harness.edge.dismiss_side_processes()
    assert (admin.pending(), discovery.pending()) == (["stop"], ["stop"])
