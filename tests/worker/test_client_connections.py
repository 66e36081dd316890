"""How many connections a client may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.worker.client_connections import ClientConnections


@pytest.mark.parametrize(("limit", "workers", "share"), [(1, 1, 1), (3, 1, 3), (4, 2, 2), (5, 2, 3), (1, 8, 1)])
def test_a_worker_has_its_share_of_the_limit(limit: int, workers: int, share: int) -> None:
    clients = ClientConnections(lambda: workers)
    for _ in range(share):
        assert not clients.is_full("192.0.2.1", limit)
        clients.enter("192.0.2.1")
    assert clients.is_full("192.0.2.1", limit)
    assert not clients.is_full("192.0.2.2", limit)


@given(st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"])))
def test_nothing_is_kept_of_clients_that_are_gone(peers: list[str]) -> None:
    clients = ClientConnections(lambda: 1)
    keys = [clients.enter(peer) for peer in peers]
    assert len(clients) == len(set(keys))
    for key in keys:
        clients.leave(key)
    assert len(clients) == 0
