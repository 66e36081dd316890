"""`limits.connections_per_client`: each of N workers lets a client have the Nth part of them, rounded up."""

from __future__ import annotations

from collections.abc import Callable

from splicer.policy.client_key import client_key

ClientKey = str | bytes


class ClientConnections:
    """Counts the open connections of each client.

    Args:
        workers: returns the number of workers that serve.
    """

    def __init__(self, workers: Callable[[], int]) -> None:
        self._workers = workers
        self._open: dict[ClientKey, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def is_full(self, peer: str, limit: int) -> bool:
        """Whether a client may have no further connection here.

        Args:
            peer: its numeric address.
            limit: the connections that it may have at the whole edge.
        """
        return self._open.get(client_key(peer), 0) >= -(-limit // self._workers())

    def enter(self, peer: str) -> ClientKey:
        """Count a connection; give the result to `leave` when it is over."""
        key = client_key(peer)
        self._open[key] = self._open.get(key, 0) + 1
        return key

    def leave(self, key: ClientKey) -> None:
        """The connection is over."""
        left = self._open[key] - 1
        if left:
            self._open[key] = left
        else:
            del self._open[key]
