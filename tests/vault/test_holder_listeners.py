"""Listeners, and the count."""

from __future__ import annotations

import selectors
import socket

import pytest

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from tests.kit.descriptors import open_descriptors
from tests.vault.rig import Rig, Talker


def test_listeners_are_kept_and_given_back(rig: Rig) -> None:
    supervisor, second = rig.talker(), rig.talker()
    with socket.socket() as one, socket.socket() as other:
        for sock in (one, other):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        names = [sock.getsockname() for sock in (one, other)]
        supervisor.send(Kind.LISTENERS, payload=b'["first"]', fds=(one.fileno(),))
        supervisor.send(Kind.LISTENERS, payload=b'["second"]', fds=(other.fileno(),))
    supervisor.close()
    rig.hear()
    second.send(Kind.ASK)
    rig.hear()
    answer = second.hear()
    assert answer is not None
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["second"]')
    with socket.socket(fileno=answer.fds[0]) as kept:
        assert kept.getsockname() == names[1]
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(names[0])
    second.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()


def _keeps(supervisor: Talker, payload: bytes = b'["first"]') -> None:
    with socket.socket() as sock:
        sock.listen()
        supervisor.send(Kind.LISTENERS, payload=payload, fds=(sock.fileno(),))


def test_a_second_supervisor_is_refused_while_the_first_is_there(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    _keeps(first)
    rig.hear()
    before = open_descriptors()
    second.send(Kind.ASK, version=protocol.VERSION - 1)
    _keeps(second, b'["second"]')
    rig.hear()
    answers = [second.answer(), second.answer()]
    assert [(one.kind, one.flags, one.version) for one in answers] == [
        (Kind.REFUSED, 1, protocol.VERSION - 1),
        (Kind.REFUSED, 1, protocol.VERSION),
    ]
    assert open_descriptors() - before == set()
    assert rig.holder.listeners[0] == b'["first"]'
    second.send(Kind.COUNT)  # a look is free
    first.send(Kind.ASK)
    _keeps(first, b'["anew"]')
    rig.hear()
    assert second.answer().kind == Kind.COUNT
    answer = first.answer()
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["first"]')
    answer.close()
    assert rig.holder.listeners[0] == b'["anew"]'
    first.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()


def test_who_only_asks_keeps_nobody_out(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    for supervisor in (first, second):
        supervisor.send(Kind.ASK)
        rig.hear()
        assert supervisor.answer().kind == Kind.LISTENERS


def test_a_refusal_for_another_reason_is_another(rig: Rig) -> None:
    worker = rig.talker()
    worker.send(Kind.ASK, version=protocol.VERSION + 1)
    rig.hear()
    answer = worker.answer()
    assert (answer.kind, answer.flags) == (Kind.REFUSED, 0)


# One program follows another: the end of the first may be read after the question of the second.
def test_a_supervisor_whose_end_has_not_been_read_yet_keeps_nobody_out(rig: Rig) -> None:
    first, second = rig.talker(), rig.talker()
    _keeps(first)
    rig.hear()
    first.close()
    second.send(Kind.ASK)
    hear = rig.selector.get_key(rig.holder.channels[1].sock).data
    hear(selectors.EVENT_READ)
    answer = second.answer()
    assert (answer.kind, answer.payload) == (Kind.LISTENERS, b'["first"]')
    answer.close()
    second.send(Kind.LISTENERS, payload=b"[]")
    rig.hear()
    assert rig.holder.listeners == (b"[]", ())


def test_tunnels_are_counted(rig: Rig) -> None:
    worker, asker = rig.talker(1), rig.talker()
    for key in (2, 4):
        worker.tunnel(rig.tunnel(key))
    asker.send(Kind.COUNT)
    rig.hear()
    answer = asker.hear()
    assert answer is not None
    assert (answer.kind, answer.quantity) == (Kind.COUNT, 2)
