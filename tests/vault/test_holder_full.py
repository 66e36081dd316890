"""No descriptor is left, or no room."""

from __future__ import annotations

import os

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.kit.descriptors import no_more_descriptors
from tests.vault.rig import Rig, close_messages


def test_a_registration_that_finds_no_descriptor_costs_no_other(rig: Rig) -> None:
    worker, good, lost = rig.talker(1), rig.tunnel(2), rig.tunnel(4)
    worker.tunnel(good)
    rig.hear()
    worker.tunnel(lost)
    worker.send(Kind.COUNT)
    with no_more_descriptors():
        rig.hear()
    assert list(rig.holder.tunnels) == [good.key]
    assert not lost.is_held()
    assert good.is_held()
    refusal, answer = worker.hear(), worker.hear()
    assert refusal is not None
    assert (refusal.kind, refusal.number) == (Kind.RETURN, lost.key)
    assert answer is not None
    assert answer.quantity == 1
    assert "vault_full" in rig.logged
    later = rig.tunnel(6)
    worker.tunnel(later)
    rig.hear()
    assert sorted(rig.holder.tunnels) == [2, 6]


@pytest.mark.parametrize("version", [protocol.VERSION, protocol.VERSION - 1])
def test_who_registers_what_there_is_no_room_for_is_told(rig: Rig, version: int) -> None:
    worker, good, extra = rig.talker(1), rig.tunnel(2), [rig.tunnel(4), rig.tunnel(6)]
    worker.tunnel(good)
    worker.send(Kind.COUNT, version=version)
    rig.hear()
    worker.answer()
    room, rig.holder._most = rig.holder._most, 0
    for tunnel in extra:
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
        worker.send(Kind.TUNNEL, tunnel.key, b"", fds, version=version)
        tunnel.inner_client.close()
        tunnel.inner_pod.close()
    rig.hear()
    answers = [worker.answer(), worker.answer()]
    assert [(one.kind, one.number, one.version) for one in answers] == [
        (Kind.RETURN, 4, version),
        (Kind.RETURN, 6, version),
    ]
    assert rig.logged.count("vault_full") == 1
    assert [tunnel.is_held() for tunnel in (good, *extra)] == [True, False, False]
    rig.holder._most = room
    worker.tunnel(rig.tunnel(8))
    rig.hear()
    assert sorted(rig.holder.tunnels) == [2, 8]
    assert worker.hears_nothing()


def test_what_is_held_already_is_not_returned(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds)
    rig.hear()
    rig.holder._most = 0
    worker.send(Kind.TUNNEL, tunnel.key, b"", fds)
    rig.hear()
    assert worker.hears_nothing()
    assert list(rig.holder.tunnels) == [tunnel.key]


def test_a_worker_that_dies_when_no_descriptor_is_left_is_outlived(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    worker.pipe(rig.pipe(b"bytes"), 0, tunnel.key)
    heir = rig.talker()
    heir.serve()
    rig.hear()
    worker.close()
    with no_more_descriptors():
        rig.hear()
        rig.holder.tidy()
    adopted = heir.adopt()
    assert os.read(adopted.fds[2], 9) == b"bytes"
    close_messages(adopted)
