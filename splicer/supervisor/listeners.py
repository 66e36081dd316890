"""The listening sockets: bound once, and shared by all workers, so that no accept queue dies with one of them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Mapping

from splicer.ipc.facts import LISTENERS, Address
from splicer.net.bind import bind

_REMEDIES = {
    errno.EADDRINUSE: "another process listens there",
    errno.EADDRNOTAVAIL: "no interface here has this address",
    errno.EACCES: "take a port above 1023",
}


Bound = tuple[str, int, int]  # host, port and descriptor


class Listeners:
    """Sockets by the address that the configuration names; several entries for one address share its socket."""

    def __init__(self) -> None:
        self.sockets: dict[Address, socket.socket] = {}
        self.rules: Mapping[str, str] = {}  # what workers must know of an address ("host:port"), if anything

    def restore(self, bound: Iterable[Bound]) -> None:
        """Take over existing sockets."""
        self.sockets = {(host, port): socket.socket(fileno=fd) for host, port, fd in bound}

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The addresses with their descriptors, for the program after an upgrade."""
        return tuple((*address, sock.fileno()) for address, sock in self.sockets.items())

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors, in order."""
        return tuple(sock.fileno() for sock in self.sockets.values())

    @property
    def names(self) -> list[str]:
        """The addresses of the sockets; port 0 is replaced by the real one."""
        return [_name(*sock.getsockname()[:2]) for sock in self.sockets.values()]

    @property
    def rules_in_order(self) -> tuple[str, ...]:
        """The rules of each socket; "": there are none."""
        return tuple(self.rules.get(_name(*address), "") for address in self.sockets)

    def listen(self, wanted: Iterable[Address]) -> list[str]:
        """Listen at these addresses and no others; return the faults, one line for each address that failed."""
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
        """Listen at these addresses too; return the faults: if there are any, nothing changes."""
        more = Listeners()
        faults = more.listen(address for address in wanted if address not in self.sockets)
        if faults:
            more.close()
        self.sockets |= more.sockets
        return faults

    def close(self) -> None:
        """Close all sockets."""
        for sock in self.sockets.values():
            sock.close()
        self.sockets = {}


class EdgeListeners(Mapping[str, Listeners]):
    """All listeners of an edge, by name (`ipc.facts.LISTENERS`)."""

    def __init__(self) -> None:
        self._all = {name: Listeners() for name in LISTENERS}

    def __getitem__(self, name: str) -> Listeners:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def of(self, process: str) -> dict[str, Listeners]:
        """The listeners of a kind of process: "worker" or "admin"."""
        return {name: listeners for name, listeners in self._all.items() if LISTENERS[name] == process}

    def restore(self, bound: Mapping[str, tuple[Bound, ...]]) -> None:
        """Take over existing sockets, except those of listeners that this program doesn't know."""
        for name, listeners in self._all.items():
            listeners.restore(bound.get(name, ()))

    def listen(self, wanted: Mapping[str, tuple[Address, ...]]) -> list[str]:
        """Listen at these addresses and no others; return the faults, one line each."""
        return [
            f"server.{name}: {fault}"
            for name, listeners in self._all.items()
            for fault in listeners.listen(wanted.get(name, ()))
        ]

    def add(self, wanted: Mapping[str, tuple[Address, ...]]) -> list[str]:
        """Listen at these addresses too; return the faults: if there are any, nothing changes."""
        before = {name: list(listeners.sockets) for name, listeners in self._all.items()}
        for name, listeners in self._all.items():
            if faults := listeners.add(wanted.get(name, ())):
                for each, addresses in before.items():
                    self._all[each].listen(addresses)
                return [f"server.{name}: {fault}" for fault in faults]
        return []

    def close(self) -> None:
        """Close all sockets of all listeners."""
        for listeners in self._all.values():
            listeners.close()


def fds_of(listeners: Mapping[str, Listeners]) -> tuple[int, ...]:
    """The descriptors of several listeners, in order."""
    return tuple(fd for each in listeners.values() for fd in each.fds)


def counts_of(listeners: Mapping[str, Listeners]) -> dict[str, int]:
    """The number of descriptors for each name."""
    return {name: len(each.sockets) for name, each in listeners.items()}


def _name(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
