from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from splicer.ipc.facts import LISTENERS
from splicer.supervisor.listeners import EdgeListeners, Listeners, counts_of, fds_of
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
    assert listeners.bound == tuple((*place, fd) for place, fd in zip([ANY, TWIN], listeners.fds, strict=True))


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
    listeners.restore((host, port, os.dup(fd)) for host, port, fd in before.bound)
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


# ---- all of an edge ----


@pytest.fixture
def edge() -> Iterator[EdgeListeners]:
    with none_left_open():
        edge = EdgeListeners()
        yield edge
        edge.close()


def test_every_name_has_its_own_and_each_goes_to_the_process_that_accepts_there(edge: EdgeListeners) -> None:
    assert edge.listen({"listen": (ANY, TWIN), "admin": (ANY,), "metrics": ()}) == []
    assert counts_of(edge) == {"listen": 2, "admin": 1, "metrics": 0}
    assert fds_of(edge.of("worker")) == edge["listen"].fds
    assert fds_of(edge.of("admin")) == edge["admin"].fds
    assert set(edge.of("worker")) | set(edge.of("admin")) == set(edge) == set(LISTENERS)


def test_a_fault_says_which_key_has_it(edge: EdgeListeners) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = taken.getsockname()
        remedy = "Address already in use; another process listens there"
        faults = [f"server.{name}: 127.0.0.1:{place[1]}: {remedy}" for name in ("listen", "admin")]
        assert edge.listen({"listen": (place, ANY), "admin": (place,)}) == faults
        assert edge.add({"listen": (ANY, TWIN), "admin": (place,)}) == faults[1:]
    assert counts_of(edge) == {"listen": 1, "admin": 0, "metrics": 0}


def test_a_program_takes_over_those_that_it_knows(edge: EdgeListeners) -> None:
    edge.listen({"listen": (ANY,), "admin": (TWIN,)})
    bound = {name: tuple((host, port, os.dup(fd)) for host, port, fd in each.bound) for name, each in edge.items()}
    after = EdgeListeners()
    after.restore({name: bound[name] for name in ("listen", "admin")})  # of a program without `metrics`
    assert after["listen"].names == edge["listen"].names
    assert after["admin"].names == edge["admin"].names
    assert after["metrics"].names == []
    after.close()


def test_what_holds_at_an_address_is_told_in_the_order_of_the_sockets(listeners: Listeners) -> None:
    listeners.rules = {"127.0.0.2:0": "{}", "127.0.0.3:1": "[]"}
    listeners.listen([ANY, TWIN])
    assert listeners.rules_in_order == ("", "{}")
