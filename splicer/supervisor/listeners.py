"""The listening sockets: bound once, and shared by all workers, so that no accept queue dies with one of them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from splicer.net.bind import bind

Address = tuple[str, int]
_REMEDIES = {
    errno.EADDRINUSE: "another process listens there",
    errno.EADDRNOTAVAIL: "no interface here has this address",
    errno.EACCES: "take a port above 1023",
}


class Listeners:
    """Sockets by the address that the configuration names; several entries for one address share its socket."""

    def __init__(self) -> None:
        self.sockets: dict[Address, socket.socket] = {}

    def restore(self, fds: dict[Address, int]) -> None:
        """Take over sockets that are there already."""
        self.sockets = {address: socket.socket(fileno=fd) for address, fd in fds.items()}

    @property
    def by_address(self) -> dict[Address, int]:
        """The descriptors by address."""
        return {address: sock.fileno() for address, sock in self.sockets.items()}

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors, in order."""
        return tuple(sock.fileno() for sock in self.sockets.values())

    @property
    def names(self) -> list[str]:
        """The addresses that they really have: port 0 has become another."""
        return [_name(*sock.getsockname()[:2]) for sock in self.sockets.values()]

    def listen(self, wanted: Iterable[Address]) -> list[str]:
        """Have sockets for these addresses and no others; the faults, one line each, of those that can't be had."""
        faults = []
        kept = {}
        for address in wanted:
            if address in self.sockets:
                kept[address] = self.sockets.pop(address)
            elif address not in kept:
                try:
                    kept[address] = bind(*address)
                except OSError as error:
                    remedy = _REMEDIES.get(error.errno or 0)
                    faults.append(f"{_name(*address)}: {error.strerror}{f'; {remedy}' if remedy else ''}")
        self.close()
        self.sockets = kept
        return faults

    def add(self, wanted: Iterable[Address]) -> list[str]:
        """Have sockets for these addresses, too; the faults: then there is none more than before."""
        more = Listeners()
        faults = more.listen(address for address in wanted if address not in self.sockets)
        if faults:
            more.close()
        self.sockets |= more.sockets
        return faults

    def close(self) -> None:
        """Listen no more."""
        for sock in self.sockets.values():
            sock.close()
        self.sockets = {}


def _name(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
