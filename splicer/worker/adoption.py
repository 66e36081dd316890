"""Tunnels of workers that are dead or have left: this worker goes on with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from splicer.net.stream import TcpStream
from splicer.session import passport
from splicer.session.context import SessionContext
from splicer.session.tunnel import run_adopted
from splicer.worker.adopted import Adopted
from splicer.worker.newest import Start


class Register(Protocol):
    """`worker.vault_link.VaultLink`, as far as an adopted tunnel needs it."""

    def remember(self, adopted: Adopted) -> None:
        """Be able to register it with a vault that comes back."""

    def release(self, key: int) -> None:
        """It is over."""


class Adoption:
    """Begins the tasks of adopted tunnels.

    Args:
        context: goes on with them.
        register: knows them from now on.
        start: starts a task.
        counted: is called for each.
        failed: is told why one can't go on.
    """

    def __init__(
        self,
        context: SessionContext,
        register: Register,
        start: Start,
        counted: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._context = context
        self._register = register
        self._start = start
        self._counted = counted
        self._failed = failed

    def adopt(self, adopted: Adopted) -> None:
        """Go on with a tunnel. One whose passport can't be read is closed, and costs no other."""
        try:
            past = passport.read(adopted.passport, adopted.adoptions)
        except ValueError as error:
            self._failed(str(error))
            _close(adopted)
            self._register.release(adopted.key)
            return
        self._register.remember(adopted)
        self._counted()
        streams = TcpStream(adopted.client), TcpStream(adopted.pod)
        self._start(run_adopted, self._context, past, *streams, adopted.pipes)


def _close(adopted: Adopted) -> None:
    for sock in (adopted.client, adopted.pod):
        TcpStream(sock).close()
    for fd in adopted.pipes.values():
        os.close(fd)
