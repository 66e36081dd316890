"""What is asked of a load, and its share for one of several processes."""

from __future__ import annotations

from attrs import evolve, frozen

from bench.traffic.dial import Address


@frozen
class Load:
    """One client process's task.

    Args:
        address: of the proxy, or of a pod.
        targets: paths, used in turn.
        seconds: to run for.
        tunnels: open all the time.
        rate: a second: frames of each tunnel, or handshakes of all; 0: each as soon as the last is done.
        size: bytes of a frame on the wire, its head included.
        clients: that call, or ask, again and again.
        listen: where the pods are that this load has itself.
    """

    address: Address
    targets: tuple[str, ...]
    seconds: float
    tunnels: int = 0
    rate: float = 0.0
    size: int = 0
    clients: int = 0
    listen: tuple[Address, ...] = ()

    # Shares differ by one at most, and add up to the whole.
    def shares(self, processes: int) -> list[Load]:
        """A part for each of so many processes."""
        return [self._share(number, processes) for number in range(processes)]

    def _share(self, number: int, processes: int) -> Load:
        def upto(whole: int, parts: int) -> int:
            return whole * parts // processes

        turn = upto(self.tunnels or self.clients, number) % len(self.targets)
        return evolve(
            self,
            targets=self.targets[turn:] + self.targets[:turn],
            tunnels=upto(self.tunnels, number + 1) - upto(self.tunnels, number),
            clients=upto(self.clients, number + 1) - upto(self.clients, number),
            rate=self.rate if self.tunnels else self.rate / processes,
        )
