from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from splicer.supervisor.listeners import Listeners
from tests.kit.descriptors import none_left_open

ANY, TWIN = ("127.0.0.1", 0), ("127.0.0.2", 0)


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    with none_left_open():
        listeners = Listeners()
        yield listeners
        listeners.close()


def _is_open(name: str) -> bool:
    host, _, port = name.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_addresses_are_bound_and_named_as_they_really_are(listeners: Listeners) -> None:
    assert listeners.listen([ANY, TWIN]) == []
    assert [name.rpartition(":")[0] for name in listeners.names] == ["127.0.0.1", "127.0.0.2"]
    assert all(_is_open(name) for name in listeners.names)
    assert len(listeners.fds) == 2
    assert listeners.by_address == dict(zip([ANY, TWIN], listeners.fds, strict=True))


def test_several_entries_for_one_address_share_its_socket(listeners: Listeners) -> None:
    assert listeners.listen([ANY, ANY]) == []
    assert len(listeners.fds) == 1


def test_what_stays_keeps_its_socket_and_the_connections_in_its_queue(listeners: Listeners) -> None:
    listeners.listen([ANY, TWIN])
    [name, other] = listeners.names
    kept = listeners.fds[0]
    host, _, port = name.rpartition(":")
    with socket.create_connection((host, int(port))) as waiting:
        assert listeners.listen([("127.0.0.3", 0), ANY]) == []
        assert listeners.fds[1] == kept
        assert listeners.names[1] == name
        assert not _is_open(other)
        accepted, _ = listeners.sockets[ANY].accept()
        with accepted:
            assert accepted.getpeername() == waiting.getsockname()


def test_every_address_that_can_not_be_had_is_a_fault_of_one_line(listeners: Listeners) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        faults = listeners.listen([("127.0.0.1", port), ANY, ("192.0.2.1", 8080), ("2001:db8::1", 8080)])
    assert faults[:2] == [
        f"127.0.0.1:{port}: Address already in use; another process listens there",
        "192.0.2.1:8080: Cannot assign requested address; no interface here has this address",
    ]
    assert faults[2].startswith("[2001:db8::1]:8080: ")
    assert len(listeners.fds) == 1


def test_sockets_are_taken_over_from_who_was_here_before(listeners: Listeners) -> None:
    before = Listeners()
    before.listen([ANY, TWIN])
    listeners.restore({address: os.dup(fd) for address, fd in before.by_address.items()})
    names = before.names
    before.close()
    assert listeners.names == names
    assert listeners.listen([ANY]) == []
    assert [_is_open(name) for name in names] == [True, False]


def test_nothing_is_open_when_it_is_over(listeners: Listeners) -> None:
    listeners.listen([ANY])
    [name] = listeners.names
    listeners.close()
    assert not _is_open(name)
    assert (listeners.fds, listeners.names) == ((), [])
