"""The admin process, as the supervisor keeps it."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import AdminArguments
from splicer.ipc.facts import OperatorDrains
from splicer.ipc.messages import (
    Attend,
    Config,
    Expire,
    Facts,
    HandedOver,
    HearSpans,
    Imported,
    IntroduceWorker,
    Prepared,
    Ready,
    ServeAdmin,
    Serving,
    TraceTo,
    WantDrains,
)
from splicer.supervisor.processes import Process
from tests.kit.descriptors import no_more_descriptors, none_left_open
from tests.supervisor.harness import ANY, Far, SupervisorHarness, summary_of, supervisor_harness

TWIN = ("127.0.0.2", 0)


def _name(fd: int) -> tuple[str, int]:
    with socket.socket(fileno=os.dup(fd)) as sock:
        name: tuple[str, int] = sock.getsockname()
        return name


def _channel(*fds: int) -> socket.socket:
    [fd] = fds
    return socket.socket(fileno=os.dup(fd))


def _introduced(admin: Far, worker: Far, slot: int) -> None:
    """Both have been given an end of one channel, and nobody else has one."""
    order, one = admin.hear(IntroduceWorker)
    assert (order.slot, order.pid, order.speaks) == (slot, worker.pid, wire.VERSION)
    assert order.mover == "native"
    _, other = worker.hear(Attend)
    with _channel(*one) as its:
        with _channel(*other) as workers:
            for fd in other:
                os.close(fd)
                worker.harness.descriptors.remove(fd)
            its.send(b"question")
            assert workers.recv(100) == b"question"
            assert workers.type == socket.SOCK_SEQPACKET
            assert not os.get_blocking(its.fileno())
        assert its.recv(1) == b"", "somebody else has the worker's end, too"


def test_it_is_started_with_what_it_needs_to_begin(harness: SupervisorHarness) -> None:
    harness.open(workers=0, format="console")
    arguments = harness.started("splicer.admin").arguments
    assert arguments == AdminArguments(arguments.place, "routing.toml", "console", None)
    board = harness.edge.board
    place = arguments.place
    found = place.board, place.routes, place.loads, place.endpoints, place.tls, place.connects
    assert found == board.fds
    assert arguments.place.version == wire.VERSION


def test_it_gets_its_listeners_and_then_those_for_the_scraper(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=ANY, metrics=TWIN)
    admin = harness.started("splicer.admin")
    admin.send(Ready)
    order, fds = admin.hear(ServeAdmin)
    assert list(order.listeners.items()) == [("admin", 1), ("metrics", 1)]
    assert [_name(fd)[0] for fd in fds] == ["127.0.0.1", "127.0.0.2"]
    assert admin.pending() == []


def test_it_is_there_for_the_scraper_alone(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, metrics=TWIN)
    admin = harness.started("splicer.admin")
    admin.send(Ready)
    order, fds = admin.hear(ServeAdmin)
    assert list(order.listeners.items()) == [("admin", 0), ("metrics", 1)]
    assert [_name(fd)[0] for fd in fds] == ["127.0.0.2"]


def test_without_an_address_there_is_none(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, metrics=None)
    assert harness.all == []


def test_it_hears_all_facts_and_the_text_in_force_when_it_serves(harness: SupervisorHarness) -> None:
    harness.open(workers=0, text="[server]\n")
    admin = harness.started("splicer.admin")
    admin.send(Ready)
    served, _ = admin.hear(ServeAdmin)
    admin.send(Serving)
    told, _ = admin.hear(Facts)
    assert told.facts == served.facts
    assert (told.facts.workers, told.facts.reloads) == (0, harness.edge.reloads)
    _, [fd] = admin.hear(Config)
    assert wire.read_text(os.dup(fd)) == "[server]\n"
    assert admin.pending() == []


def test_it_hears_nothing_before_it_serves_and_nothing_after_it_was_dismissed(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    admin_process = harness.edge.admin_process
    admin = harness.started("splicer.admin")
    for is_ready in (False, True):
        if is_ready:
            admin.send(Ready)
            admin.hear(ServeAdmin)
        admin_process.tell()
        admin_process.tell_config()
        assert not admin_process.serves
        assert admin.pending() == []
    admin.send(Serving)
    assert admin_process.serves
    admin_process.tell()
    admin_process.tell_config()
    assert admin.pending() == ["facts", "config", "facts", "config"]
    admin_process.dismiss()
    admin_process.tell()
    admin_process.tell_config()
    assert admin.pending() == ["stop"]


@pytest.mark.parametrize("admin_first", [True, False])
def test_it_and_a_worker_get_a_channel_whoever_comes_first(harness: SupervisorHarness, admin_first: bool) -> None:
    harness.open(workers=1)
    if admin_first:
        admin = harness.admin()
        assert admin.pending() == ["serve", "facts", "config"]
    worker = harness.worker(serving=False)
    if not admin_first:
        assert worker.pending() == ["prepare", "serve"]
        admin = harness.admin()
        assert [admin.next()[0].KIND for _ in range(3)] == ["serve", "facts", "config"]
    else:
        assert [worker.next()[0].KIND for _ in range(2)] == ["prepare", "serve"], "its slot comes first"
    _introduced(admin, worker, slot=1)
    assert (worker.pending(), admin.pending()) == ([], [])


def test_another_worker_on_a_slot_is_introduced_beside_the_one_that_leaves(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    leaving = harness.worker()
    harness.edge.workers.spares = 1
    harness.turn()
    harness.worker(serving=False)
    admin = harness.admin()
    admin.pending()
    leaving.pending()
    assert harness.edge.workers.replace(1)
    assert admin.pending() == ["worker"]
    assert leaving.pending() == ["retire"]
    admin.die()
    harness.turn()
    another = harness.admin()
    assert another.pending() == ["serve", "facts", "config", "worker", "worker"]
    assert leaving.pending() == ["attend"], "it has tunnels still"


def test_who_has_no_slot_or_no_tunnels_left_is_nobody_to_be_introduced(harness: SupervisorHarness) -> None:
    harness.open(workers=1, spares=1)
    gone = harness.worker()
    harness.turn()
    spare = next(far for far in harness.all if far.module == "splicer.worker" and far is not gone)
    spare.send(Imported)
    spare.send(Prepared)
    harness.edge.workers.replace(1)
    gone.send(HandedOver)
    harness.turn()
    gone.pending()
    harness.admin()
    assert gone.pending() == []
    assert spare.pending() == ["prepare", "serve", "inherit", "attend"]


def test_the_next_one_is_introduced_to_all_anew(harness: SupervisorHarness) -> None:
    harness.open(workers=2)
    for worker in [far for far in harness.all if far.module == "splicer.worker"]:
        worker.send(Imported, mover="native")
        for word in (Prepared, Serving):
            worker.send(word)
    workers = {far.pid: far for far in harness.all if far.module == "splicer.worker"}
    first = harness.admin()
    first.pending()
    for worker in workers.values():
        worker.pending()
    first.die()
    assert [line["reason"] for line in harness.said.of("admin_died")] == ["SIGKILL"]
    second = harness.admin()
    assert second is not first
    assert [second.next()[0].KIND for _ in range(3)] == ["serve", "facts", "config"]
    for slot, worker in enumerate(workers.values(), start=1):
        _introduced(second, worker, slot)


def test_one_that_was_told_to_end_is_no_failure(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    admin = harness.admin()
    harness.edge.admin_process.wanted = False
    harness.edge.admin_process.dismiss()
    admin.die(0)
    assert harness.said.of("admin_died") == []
    assert len(harness.all) == 1, "it was started again"


def test_one_that_never_serves_is_not_started_again_at_once(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    harness.started("splicer.admin").die()
    assert len(harness.all) == 1


def test_without_a_descriptor_nobody_is_introduced_and_it_is_told(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    admin, worker = harness.admin(), harness.worker()
    admin.pending()
    worker.pending()
    [process] = harness.edge.workers.all.values()
    with no_more_descriptors():
        harness.edge.admin_process.introduce(process)
    assert [line["pid"] for line in harness.said.of("worker_not_introduced")] == [worker.pid]
    assert (admin.pending(), worker.pending()) == ([], [])


def test_what_it_says_before_it_serves_is_not_heard(harness: SupervisorHarness) -> None:
    harness.open(workers=0)
    admin = harness.started("splicer.admin")
    before, asked = harness.edge.drains, OperatorDrains(all=1.0)
    for word in (Ready, Serving):
        admin.send(WantDrains, drains=asked)
        assert harness.edge.drains == before
        admin.send(word)
    admin.send(WantDrains, drains=asked)
    assert harness.edge.drains == asked


def test_a_worker_that_reads_nothing_is_not_introduced_and_not_killed(
    harness: SupervisorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.open(workers=1)
    admin, worker = harness.admin(), harness.worker()
    admin.pending()
    [process] = harness.edge.workers.all.values()
    while True:
        try:
            wire.send(process.sock, Expire())
        except BlockingIOError:
            break
    killed: list[Process] = []
    monkeypatch.setattr(Process, "kill", killed.append)
    with none_left_open():
        harness.edge.admin_process.introduce(process)
    assert killed == []
    assert worker.pending().count("attend") == 1, "the first one, of before"
    assert admin.pending() == []


def test_no_descriptor_stays_open() -> None:
    def come_and_go() -> None:
        with supervisor_harness() as harness:
            harness.open(workers=1, metrics=TWIN)
            harness.admin()
            harness.worker()
            with none_left_open():
                harness.edge.admin_process.tell()
                harness.edge.admin_process.tell_config()
                harness.edge.admin_process.introduce(next(iter(harness.edge.workers.all.values())))

    with none_left_open():
        come_and_go()


# ---- spans ----


def test_a_worker_and_it_get_a_channel_for_spans_if_they_are_sent_anywhere(harness: SupervisorHarness) -> None:
    harness.open(workers=1, traces=True)
    admin = harness.admin()
    worker = harness.worker()
    assert worker.pending()[-2:] == ["attend", "trace_to"]
    assert admin.pending()[-2:] == ["worker", "hear_spans"]


def test_a_channel_for_spans_leads_from_the_worker_to_it(harness: SupervisorHarness) -> None:
    harness.open(workers=1, traces=True)
    worker, admin = harness.worker(), harness.admin()
    ours = its = None
    with contextlib.suppress(BlockingIOError):
        while True:
            message, fds = worker.next()
            if isinstance(message, TraceTo):
                [its] = fds
    with contextlib.suppress(BlockingIOError):
        while True:
            message, fds = admin.next()
            if isinstance(message, HearSpans):
                assert message.slot == 1
                [ours] = fds
    assert ours is not None
    assert its is not None
    os.write(its, b"a packet")
    assert os.read(ours, 100) == b"a packet"


def test_without_a_collector_nobody_gets_one(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    worker, admin = harness.worker(), harness.admin()
    assert "trace_to" not in worker.pending()
    assert "hear_spans" not in admin.pending()


def test_it_is_there_for_spans_alone(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, metrics=None, traces=True)
    admin = harness.started("splicer.admin")
    admin.send(Ready)
    order, fds = admin.hear(ServeAdmin)
    assert (set(order.listeners.values()), fds) == ({0}, [])


def test_a_reload_that_sends_spans_somewhere_makes_the_channels(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    worker, admin = harness.worker(), harness.admin()
    worker.pending()
    admin.pending()
    before = harness.edge.summary
    harness.edge.summary = summary_of(traces=True)
    harness.edge.follow_traces(before)
    assert (worker.pending(), admin.pending()) == (["trace_to"], ["hear_spans"])
    harness.edge.follow_traces(harness.edge.summary)
    assert (worker.pending(), admin.pending()) == ([], []), "they have them already"


def test_a_reload_that_sends_no_spans_any_more_ends_it_if_nobody_else_needs_it(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None, metrics=None, traces=True)
    admin = harness.admin()
    admin.pending()
    before, harness.edge.summary = harness.edge.summary, summary_of(workers=0, admin=None)
    harness.edge.follow_traces(before)
    assert admin.pending() == ["stop"]
    admin.die(0)
    harness.turn()
    assert harness.edge.process_table.all == {}
    harness.edge.summary = summary_of(workers=0, admin=None, traces=True)
    harness.edge.follow_traces(before=None)
    harness.turn()
    assert harness.started("splicer.admin") is not admin
