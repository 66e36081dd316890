from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from splicer.net.bind import bind
from tests.kit.descriptors import none_left_open


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as listener:
        yield listener


def test_a_listener_does_not_block(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_an_address_in_use_is_an_error_and_no_socket_stays(listener: socket.socket) -> None:
    with none_left_open(), pytest.raises(OSError, match="Address already in use"):
        bind("127.0.0.1", listener.getsockname()[1])


def test_both_families_can_have_the_same_port() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("0.0.0.0", 0) as four, bind("::", four.getsockname()[1]) as six:
        assert six.getsockname()[1] == four.getsockname()[1]


def test_an_address_that_is_none_of_ours_is_an_error_and_no_socket_stays() -> None:
    with none_left_open(), pytest.raises(OSError, match="Cannot assign requested address"):
        bind("192.0.2.1", 0)


# Else a restart would have to wait for the connections of the last one (TIME_WAIT).
def test_an_address_can_be_had_again_while_connections_to_it_are_being_forgotten(listener: socket.socket) -> None:
    address = listener.getsockname()
    with socket.create_connection(address) as client:
        served, _ = listener.accept()
        served.close()  # who closes first has TIME_WAIT
        assert client.recv(1) == b""
    listener.close()
    bind(*address).close()


def test_a_listener_is_not_inherited_by_accident(listener: socket.socket) -> None:
    assert not listener.get_inheritable()
