"""The peers of a run: each is started and warmed up once; one that failed is started again for its next turn."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from bench.machine import settled_cpu_seconds
from bench.peers.base import Peer, PeerFailed, Proxy
from bench.site import Site


class Fleet:
    """A context manager that ends all peers on exit.

    Args:
        site: the pods, names and processors of the run.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._running: dict[str, tuple[Proxy, ExitStack]] = {}

    def proxy(self, peer: Peer) -> Proxy:
        """The running, warmed-up peer.

        Raises:
            PeerFailed: it does not start.
        """
        if peer.name not in self._running:
            with ExitStack() as stack:
                proxy = stack.enter_context(peer.running(self._site.job(), self._site.processors.proxy()))
                self._site.warm_up(proxy.address, ["handshakes", "http"])
                settled_cpu_seconds(proxy.pids(), patience=5.0)
                self._running[peer.name] = proxy, stack.pop_all()
        return self._running[peer.name][0]

    def pids(self) -> list[int]:
        """All processes of all peers."""
        return [pid for proxy, _ in self._running.values() for pid in proxy.pids()]

    def stop(self, name: str) -> None:
        """End a peer, and ignore its errors."""
        if name in self._running:
            _, stack = self._running.pop(name)
            with suppress(PeerFailed):
                stack.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exc: object) -> None:
        for name in list(self._running):
            self.stop(name)
