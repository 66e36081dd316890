"""What the supervisor knows of the tunnels that a vault holds, and how sure it is."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splicer.supervisor import remote_vault
from splicer.supervisor.listeners import Listeners
from splicer.supervisor.remote_vault import RemoteVault
from splicer.supervisor.vaults import OwnVault
from splicer.vault.protocol import Kind, channel, pack
from splicer.vault.protocol import send as protocol_send
from tests.supervisor.harness import Said
from tests.vault.rig import Rig, Talker, Tunnel

_MANY = 200  # messages: more than a holder reads of one channel in a row, and as many as a channel holds


class Distant:
    """A remote vault, the holder that it asks, and a worker with a tunnel."""

    def __init__(self, path: Path, rig: Rig) -> None:
        self.rig = rig
        self.worker = rig.talker()
        self.tunnel = rig.tunnel()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self.said = Said()
        self.vault = RemoteVault(path, self._selector, self.said)
        self._accepted = self.accept()

    def accept(self) -> socket.socket:
        sock, _ = self._listener.accept()
        self.rig.holder.attach(sock)
        return sock

    def rounds(self, count: int, *, heard: bool = True) -> list[bool]:
        """Look, let the vault answer, and take the answer in: so many times; what each look said."""
        looks = []
        for _ in range(count):
            looks.append(self.vault.confirm_empty())
            if heard:
                self.rig.hear()
            for key, events in self._selector.select(0):
                key.data(events)
        return looks

    def leave(self) -> None:
        """The vault's process ends."""
        self._listener.close()
        self._accepted.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()


@pytest.fixture
def distant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distant]:
    monkeypatch.setattr(remote_vault, "_COUNT_INTERVAL", -1.0)
    with Rig() as rig:
        made = Distant(tmp_path / "vault", rig)
        yield made
        made.close()


# ---- a vault of its own container ----


def test_it_is_found_empty_when_it_has_said_so_again_and_again(distant: Distant) -> None:
    assert distant.rounds(9) == [False] * 7 + [True] * 2


def test_one_that_does_not_answer_is_not_waited_for_for_ever(distant: Distant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(distant.rounds(50, heard=False))
    monkeypatch.setattr(remote_vault, "_HUNG_TIMEOUT", -1.0)
    assert distant.rounds(1, heard=False) == [True]


def test_a_tunnel_that_it_has_yet_to_hear_of_is_found(distant: Distant) -> None:
    distant.rounds(20)
    distant.vault.invalidate_count()
    distant.worker.tunnel(distant.tunnel)
    assert distant.vault.tunnels == 0
    assert not any(distant.rounds(20))
    assert distant.vault.tunnels == 1
    distant.worker.close()
    assert not any(distant.rounds(20))
    distant.rig.holder.placement.orphans.clear()
    for held in distant.rig.holder.tunnels.values():
        held.close()
    distant.rig.holder.tunnels.clear()
    assert distant.rounds(1) == [False]
    assert distant.rounds(1) == [True]


def test_nothing_can_be_left_to_one_that_does_not_answer(distant: Distant, monkeypatch: pytest.MonkeyPatch) -> None:
    distant.rounds(2)
    assert distant.vault.why_not_durable is None
    distant.rounds(2, heard=False)
    assert distant.vault.why_not_durable is None
    monkeypatch.setattr(remote_vault, "_ANSWER_TIMEOUT", -1.0)
    assert distant.vault.why_not_durable is not None
    assert "does not answer" in distant.vault.why_not_durable
    monkeypatch.setattr(remote_vault, "_ANSWER_TIMEOUT", 2.0)
    distant.rounds(2)
    assert distant.vault.why_not_durable is None


# One that says something again and again, but never what it was asked, must not hold up the start.
def test_its_listeners_are_waited_for_only_so_long(distant: Distant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_vault, "_ANSWER_TIMEOUT", 0.2)
    far = distant.rig.holder.channels[-1].sock
    talks = threading.Event()

    def talk() -> None:
        while not talks.wait(0.05):
            protocol_send(far, pack(Kind.COUNT))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        distant.vault.recover({"listen": Listeners()})
    finally:
        talks.set()
        thread.join()


def test_it_tells_which_slots_tunnels_wait_for(distant: Distant) -> None:
    distant.worker.serve(3, 4)
    distant.worker.tunnel(distant.tunnel)
    distant.rounds(2)
    assert not distant.vault.orphaned_slots
    distant.worker.close()
    distant.rounds(2)
    assert list(distant.vault.orphaned_slots) == [3]
    distant.leave()
    distant.rounds(1)
    assert not distant.vault.orphaned_slots


# A vault of the version before doesn't say it.
def test_one_that_does_not_tell_of_slots_is_understood(distant: Distant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distant.rig.holder, "_handle", lambda one, _: distant.rig.holder._post(one, pack(Kind.COUNT)))
    distant.rounds(2)
    assert not distant.vault.orphaned_slots


def test_one_that_stays_away_holds_nothing(distant: Distant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not distant.vault.confirm_empty()
    distant.leave()
    distant.rounds(1)
    assert distant.said.of("vault_lost")
    assert not distant.vault.confirm_empty()  # it may come back, and be told of a call by a worker that dies then
    monkeypatch.setattr(remote_vault, "_RETURN_TIMEOUT", -1.0)
    assert distant.vault.confirm_empty()


def test_one_that_has_come_back_is_asked_anew(distant: Distant, tmp_path: Path) -> None:
    assert distant.rounds(8)[-1]
    distant.leave()
    distant.rounds(1)
    (tmp_path / "vault").unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "vault"))
    listener.listen()
    distant.vault.tidy()
    distant.rig.own(listener)
    sock, _ = listener.accept()
    distant.rig.holder.attach(sock)
    distant.rig.hear()
    assert distant.rounds(9) == [False] * 7 + [True] * 2


# ---- the supervisor's own ----


@pytest.fixture
def own() -> Iterator[tuple[OwnVault, Talker, selectors.BaseSelector]]:
    with selectors.DefaultSelector() as selector:
        vault = OwnVault(selector, Said())
        ours, its = channel()
        vault.holder.attach(ours)
        talker = Talker(its)
        talker.hello()
        yield vault, talker, selector
        talker.close()
        ours.close()
        for held in vault.holder.tunnels.values():
            held.close()


def test_all_that_a_dead_worker_has_said_is_heard_first(
    own: tuple[OwnVault, Talker, selectors.BaseSelector],
) -> None:
    vault, talker, selector = own
    tunnel = Tunnel(2)
    vault.invalidate_count()
    for _ in range(_MANY):
        talker.send(Kind.RELEASE, 4)
    talker.tunnel(tunnel)
    talker.close()
    for _ in range(50):
        assert not vault.confirm_empty()
        for key, events in selector.select(0):
            key.data(events)
    assert vault.tunnels == 1
    tunnel.close()


def test_its_own_is_found_empty_in_the_end(own: tuple[OwnVault, Talker, selectors.BaseSelector]) -> None:
    vault, _, _ = own
    assert [vault.confirm_empty() for _ in range(8)] == [False] * 6 + [True] * 2
    vault.invalidate_count()
    assert not vault.confirm_empty()
