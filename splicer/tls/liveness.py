"""Clients and pods that have vanished behind a shut window, and the line quality of all: once a second, in slices.

TCP_USER_TIMEOUT, which raw sockets inherit, ends a connection whose peer is gone. But since Linux 5.11 it also ends one
whose peer is alive and doesn't read (`relay.liveness` has the details). So it is off while a peer takes no bytes, and
the peer is judged by its silence, once it has left more than one transmission unanswered.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from splicer.ipc.tls_table import Word
from splicer.tls.ends import LinkEnds
from splicer.tls.kernel import line_of
from splicer.tls.loop import Loop

_INTERVAL = 1.0  # seconds between two sweeps
_CHECKED = 10  # sweeps between two looks at the same blocked connection
_SLICE = 64  # connections looked at before frames are moved again
_BYTES = 148
_FACTS = struct.Struct("2xBB52xI84xI")  # tcpi_retransmits, tcpi_probes, tcpi_last_ack_recv, tcpi_notsent_bytes
_MAX_UNANSWERED = 2


class Sweep:
    """Looks at all connections.

    Args:
        loop: the process's loop.
        links: the connections.
        words: the process's row of the TLS table.
    """

    def __init__(self, loop: Loop, links: Iterable[LinkEnds], words: memoryview[int]) -> None:
        self._loop = loop
        self._links = links
        self._words = words
        self._number = 0
        self._last = 0
        self._patience: dict[LinkEnds, int] = {}  # the TCP_USER_TIMEOUT, in ms, that was switched off

    def run(self) -> None:
        """Begin a sweep, and those that follow."""
        since, self._last = self._last, self._loop.now
        self._number += 1
        self._go_on(iter(list(self._links)), since)

    def forget(self, link: LinkEnds) -> None:
        """Forget a connection that is over."""
        self._patience.pop(link, None)

    def _go_on(self, links: Iterator[LinkEnds], since: int) -> None:
        some = list(islice(links, _SLICE))
        for link in some:
            if not link.closed:
                self._look(link, since)
        if len(some) < _SLICE:
            self._loop.later(_INTERVAL, self.run)
        else:
            self._loop.queue(lambda: self._go_on(links, since))

    def _look(self, link: LinkEnds, since: int) -> None:
        if self._words[link.base + Word.LAST] >= since:
            line = line_of(link.sock)
            if line is not None:
                self._words[link.base + Word.LINE] = line
        if (link.blocked or link in self._patience) and self._number % _CHECKED == 0 and self._is_gone(link):
            link.vanish()

    def _is_gone(self, link: LinkEnds) -> bool:
        sock = link.sock
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)
        except OSError:
            return False
        retransmits, probes, silent_ms, unsent = _FACTS.unpack_from(info)
        patience = self._patience.get(link)
        if not unsent:
            if patience is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._patience.pop(link))
            return False
        if patience is None:
            self._patience[link] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
            return False
        return bool(silent_ms > patience and max(retransmits, probes) >= _MAX_UNANSWERED)
