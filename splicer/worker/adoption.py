"""Adoption: this worker continues tunnels of workers that are dead or have left."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from splicer.net.plain_stream import PlainStream
from splicer.net.stream import TcpStream, TlsLeg
from splicer.session import passport
from splicer.session.context import SessionContext
from splicer.session.tunnel import run_adopted
from splicer.tls_facts import TlsFacts
from splicer.worker.adopted import Adopted
from splicer.worker.newest import Start


class Register(Protocol):
    """The part of `worker.vault_link.VaultLink` that an adopted tunnel needs."""

    def remember(self, adopted: Adopted) -> None:
        """Keep what is needed to register it with a vault that comes back."""

    def release(self, key: int) -> None:
        """Release a tunnel that is over."""


class Adoption:
    """Starts the tasks of adopted tunnels.

    Args:
        context: the session's context.
        register: the link to the vault.
        start: starts a task.
        counted: called for each adopted tunnel.
        failed: called with the reason if a tunnel can't go on.
        entry: returns what a tls process says of a leg.
    """

    def __init__(
        self,
        context: SessionContext,
        register: Register,
        start: Start,
        counted: Callable[[], None],
        failed: Callable[[str], None],
        entry: Callable[[TlsFacts], TlsLeg],
    ) -> None:
        self._context = context
        self._register = register
        self._start = start
        self._counted = counted
        self._failed = failed
        self._entry = entry

    def adopt(self, adopted: Adopted) -> None:
        """Continue a tunnel. If its passport can't be read, it is closed; other tunnels are not affected."""
        try:
            past = passport.read(adopted.passport, adopted.adoptions, adopted.crashes)
            legs = (adopted.client, past.record.tls), (adopted.pod, past.record.pod_tls)
            streams = [TcpStream(sock) if tls is None else PlainStream(sock, self._entry(tls)) for sock, tls in legs]
        except ValueError as error:
            self._failed(str(error))
            _close(adopted)
            self._register.release(adopted.key)
            return
        self._register.remember(adopted)
        self._counted()
        self._start(run_adopted, self._context, past, *streams, adopted.pipes)


def _close(adopted: Adopted) -> None:
    for sock in (adopted.client, adopted.pod):
        TcpStream(sock).close()
    for fd in adopted.pipes.values():
        os.close(fd)
