"""The vault's tls processes, as an edge's supervisor orders them; and what no order may do."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from splicer.ipc import wire
from splicer.ipc.codec import to_json
from splicer.ipc.message import Message
from splicer.ipc.messages import WorkerOrder
from splicer.ipc.tls_messages import AttendTls, ProfileFacts, RetireTls, ServerProfile, TlsProfileRead, TlsSettings
from splicer.ipc.tls_orders import AttachTls
from splicer.ipc.tls_table import free_row, lock_row, make_tls_memory
from splicer.ipc.vault_tls import AttendWorker, TlsProfile, TlsState, TlsTableUsed, TlsUsed, UseTls, VaultTlsReport
from splicer.tls_facts import CertificateFiles
from splicer.vault.protocol import channel
from tests.supervisor.tls_rig import TlsRig, tls_rig

_PROFILE = ServerProfile((CertificateFiles(folder="/certs/edge"),))
_TWO = TlsSettings(2, {"edge": _PROFILE})


@pytest.fixture
def rig() -> Iterator[TlsRig]:
    with tls_rig() as rig:
        yield rig


class Told:
    """What is told to who has tried settings."""

    def __init__(self) -> None:
        self.faults: Sequence[str] | None = None

    def __call__(self, faults: Sequence[str]) -> None:
        self.faults = faults


def use(rig: TlsRig, settings: TlsSettings = _TWO) -> Told:
    told = Told()
    rig.tls.use(settings, told)
    rig.turn()
    return told


def serving(rig: TlsRig) -> list[int]:
    return [one.pid for one in rig.tls.facts if one.state == "serving"]


def test_the_vault_starts_what_the_edge_wants(rig: TlsRig) -> None:
    told = use(rig)
    assert len(rig.all) == 2
    assert told.faults is None
    rig.serve()
    assert told.faults == ()
    assert serving(rig) == [far.pid for far in rig.all]
    assert rig.tls.complete


def test_a_fault_of_a_file_is_told_and_changes_nothing(rig: TlsRig) -> None:
    use(rig)
    rig.serve()
    told = use(rig, TlsSettings(2, {"edge": _PROFILE, "more": _PROFILE}))
    rig.all[0].configure("/certs/more: No such file")
    rig.turn()
    assert told.faults == ("/certs/more: No such file",)
    assert rig.tls.settings == _TWO
    rig.serve()
    assert len(serving(rig)) == 2


def test_each_worker_gets_a_channel_to_each(rig: TlsRig) -> None:
    first = rig.worker()
    use(rig)
    rig.serve()
    second = rig.worker()
    rig.tls.introduce(rig.workers[1])
    rig.turn()
    for worker in (first, second):
        rows = []
        for _ in rig.all:
            received = wire.receive(worker, WorkerOrder)
            assert received is not None
            assert isinstance(received.message, AttachTls)
            rows.append(received.message.row)
            [fd] = received.fds
            os.close(fd)
        assert rows == [far.row for far in rig.all]
    for far in rig.all:
        far.read()
        assert sum(isinstance(order, AttendTls) for order in far.heard) == 2
    first.close()
    second.close()


def test_the_next_edge_finds_them_and_their_table(rig: TlsRig) -> None:
    use(rig)
    rig.serve()
    rig.all[0].say(TlsProfileRead(ProfileFacts("edge", "client", ())))
    rig.turn()
    before, table = serving(rig), os.fstat(rig.board.tls)
    rig.tls._channel._sock.close()  # type: ignore[union-attr]  # as if killed
    rig.selector.unregister(rig.tls._channel._sock)  # type: ignore[arg-type]
    rig.tls = rig.edge()
    assert os.path.samestat(os.fstat(rig.board.tls), table)
    told = use(rig)
    assert told.faults == ()
    assert serving(rig) == before
    assert len(rig.all) == 2
    assert ("client", "edge") in rig.tls.profiles


def test_one_that_dies_is_replaced_without_an_edge(rig: TlsRig) -> None:
    use(rig)
    rig.serve()
    rig.die(rig.all[0])
    rig.serve()
    assert len(rig.all) == 3
    assert serving(rig) == [far.pid for far in rig.all[1:]]
    assert rig.tls.restarts == 1


def test_an_upgrade_begins_a_new_generation_when_the_old_one_is_complete(rig: TlsRig) -> None:
    use(rig)
    rig.serve()
    rig.tls.restore(_TWO, 1)
    rig.turn()
    assert len(rig.all) == 4
    assert len(serving(rig)) == 2  # the old ones, as long as the new ones don't
    for far in rig.all:
        far.read()
        assert not any(isinstance(order, RetireTls) for order in far.heard)
    rig.serve()
    for old in rig.all[:2]:
        old.read()
        assert any(isinstance(order, RetireTls) for order in old.heard)
    assert serving(rig) == [far.pid for far in rig.all[2:]]


def test_upgrades_have_an_end(rig: TlsRig) -> None:
    """Who has connections stays; so there is a most."""
    many = TlsSettings(40, {"edge": _PROFILE})
    use(rig, many)
    rig.serve()
    for generation in range(1, 6):
        rig.tls.restore(many, generation)
        rig.serve()
        rig.serve()
    assert len(rig.all) == 120
    assert rig.said.of("tls_not_started")
    assert len(serving(rig)) == 40


def test_a_vault_that_is_away(rig: TlsRig) -> None:
    use(rig)
    rig.serve()
    vault, rig.vault = rig.vault, None
    assert vault is not None
    vault._drop()
    rig.turn()
    assert rig.edge_said.of("vault_tls_lost")
    told = use(rig, TlsSettings(2, {"other": _PROFILE}))
    assert told.faults is not None
    assert "/run/vault.sock" in told.faults[0]
    assert rig.tls.settings == _TWO
    rig.vault = vault
    rig.tls._channel._next_try = 0.0
    rig.turn()
    assert len(serving(rig)) == 2
    assert len(rig.edge_said.of("vault_tls_connected")) == 2


def test_a_vault_that_knows_less_is_told(rig: TlsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    use(rig)
    rig.serve()
    older = TlsSettings(2, {"edge": ServerProfile(_PROFILE.certificates)})
    newer = TlsSettings(2, {"edge": ServerProfile(_PROFILE.certificates, min_version="1.3")})
    monkeypatch.setattr("splicer.supervisor.vault_tls._settings_in", lambda _: older)
    told = use(rig, newer)
    assert told.faults is not None
    assert "older" in told.faults[0]
    assert rig.tls.settings == _TWO


# ---- a faulty edge ----


class Edge:
    """One that sends what it likes."""

    def __init__(self, rig: TlsRig) -> None:
        self.rig = rig
        self.sock, its = channel()
        assert rig.vault is not None
        rig.socks.append(its)
        rig.vault.attach(its, make_tls_memory())
        self.messages: list[Message] = []

    def send(self, order: Message, *fds: int) -> None:
        wire.send(self.sock, order, fds)
        self.rig.turn()
        self.read()

    def read(self) -> bool:
        """Whether the channel is still open."""
        while True:
            try:
                received = wire.receive(self.sock, VaultTlsReport)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if received is None:
                return False
            for fd in received.fds:
                os.close(fd)
            if received.message is not None:
                self.messages.append(received.message)

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.messages if isinstance(message, kind)]


@pytest.fixture
def edge(rig: TlsRig) -> Iterator[Edge]:
    use(rig)
    rig.serve()
    edge = Edge(rig)
    rig.tls.end()
    rig.turn()
    yield edge
    edge.sock.close()


def _no_settings() -> int:
    return wire.text_file("[]")


def _endless() -> int:
    fd = os.memfd_create("huge")
    os.ftruncate(fd, 1 << 40)
    return fd


def _no_memory() -> int:
    one, other = os.pipe()
    os.close(other)
    return one


def _too_many() -> int:
    return wire.text_file(to_json(TlsSettings(65, {"edge": _PROFILE})))


@pytest.mark.parametrize("make", [_no_settings, _endless, _no_memory, _too_many])
def test_unfit_settings_are_refused(edge: Edge, make: object) -> None:
    fd = make()  # type: ignore[operator]
    edge.send(UseTls(7), fd)
    os.close(fd)
    [answer] = edge.of(TlsUsed)
    assert isinstance(answer, TlsUsed)
    assert answer.request == 7
    assert "can't use" in answer.faults[0]
    assert len(edge.rig.all) == 2


def test_it_is_told_everything_at_once(edge: Edge) -> None:
    edge.read()
    assert isinstance(edge.messages[0], TlsTableUsed)
    [state] = edge.of(TlsState)
    assert isinstance(state, TlsState)
    assert len(state.processes) == 2
    assert not edge.of(TlsProfile)


def test_what_is_no_order_closes_the_channel_alone(edge: Edge) -> None:
    edge.sock.send(b"{}")
    edge.rig.turn()
    assert not edge.read()
    assert edge.rig.said.of("vault_tls_refused")
    assert all(far.sock.fileno() >= 0 for far in edge.rig.all)
    again = Edge(edge.rig)
    again.read()
    assert again.of(TlsState)
    again.sock.close()


def test_who_does_not_read_is_disconnected_and_nobody_dies(edge: Edge) -> None:
    text = wire.text_file(to_json(_TWO))
    for number in range(1000):
        try:
            wire.send(edge.sock, UseTls(number), (text,))
        except OSError:
            break
        edge.rig.turn()
    else:
        raise AssertionError("it is still connected")
    os.close(text)
    assert len(edge.rig.all) == 2
    edge.rig.vault.tidy()  # type: ignore[union-attr]


def test_channels_without_end_kill_no_tls_process(edge: Edge) -> None:
    """A process that reads nothing at present keeps its calls."""
    for _ in range(1000):
        ours, its = channel()
        with ours, its:
            try:
                wire.send(edge.sock, AttendWorker(edge.rig.all[0].row), (its.fileno(),))
            except OSError:
                break
        edge.rig.turn()
    else:
        raise AssertionError("it is still connected")
    assert not edge.rig.said.of("tls_died")
    [process] = [one for one in edge.rig.vault._processes.all.values() if one.pid == edge.rig.all[0].pid]  # type: ignore[union-attr]
    assert process.fault is None


def test_what_is_no_table_is_refused() -> None:
    with tls_rig() as rig:
        assert rig.vault is not None
        rig.vault._drop()
        rig.vault._table = rig.vault._processes = None
        for size in (0, 1 << 20):
            ours, its = channel()
            fd = os.memfd_create("no table", os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, size)
            rig.vault.attach(its, fd)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
            assert wire.receive(ours, VaultTlsReport) is None
            ours.close()
        assert len(rig.said.of("vault_message_lost")) == 2


# ---- rows ----


def test_a_row_is_its_processs_until_its_end() -> None:
    table = make_tls_memory()
    ours, theirs = socket.socketpair()
    if not (pid := os.fork()):
        lock_row(table, 1)
        theirs.send(b"!")
        theirs.recv(1)
        os._exit(0)
    assert ours.recv(1) == b"!"
    assert free_row(table, {2}) == 3
    with pytest.raises(BlockingIOError):
        lock_row(table, 1)
    ours.send(b"!")
    os.waitpid(pid, 0)
    assert free_row(table, {2}) == 1
    for sock in (ours, theirs):
        sock.close()
    os.close(table)


def test_there_may_be_no_row() -> None:
    table = make_tls_memory()
    with pytest.raises(OSError, match="in use"):
        free_row(table, range(1, 256))
    os.close(table)
