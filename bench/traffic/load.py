"""The parameters of a load, and its division among several processes."""

from __future__ import annotations

from attrs import evolve, frozen

from bench.traffic.dial import Address


@frozen
class Load:
    """The task of one client process.

    Args:
        address: of the proxy, or of a pod.
        targets: paths, used in turn.
        seconds: the length of the run.
        tunnels: the number of tunnels, open all the time.
        rate: frames of each tunnel a second, or handshakes of all a second; 0: each as soon as the last one is done.
        size: bytes of a frame on the wire, its head included.
        clients: the number of clients that call or send requests again and again.
        listen: the addresses of the pods in this process.
    """

    address: Address
    targets: tuple[str, ...]
    seconds: float
    tunnels: int = 0
    rate: float = 0.0
    size: int = 0
    clients: int = 0
    listen: tuple[Address, ...] = ()

    # The parts differ by at most one, and add up to the whole.
    def shares(self, processes: int) -> list[Load]:
        """Divide the load into a part for each process."""
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
