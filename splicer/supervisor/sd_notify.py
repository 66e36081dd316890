"""Tells a service manager how this process does: sd_notify(3). Nobody who listens there is ever waited for.

The protocol is one datagram with a few lines. The libraries for it are about as long as this file, and either block
when the manager doesn't read, or need a C compiler.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_RETRY_INTERVAL = 1.0  # seconds after which a beat that was not taken is sent again

Log = Callable[..., None]


class SdNotify:
    """The manager's socket, if there is one.

    Args:
        environ: what says so is taken out of it: a child that spoke for this process would confuse the manager.
        log: told, once, when nobody can be told.
    """

    def __init__(self, environ: MutableMapping[str, str], log: Log) -> None:
        self._log = log
        self._environ = environ
        self._variables = {name: environ.pop(name) for name in _VARIABLES if name in environ}
        self._address = self._find()
        # Kept open: a process that has no descriptor left must still be able to say that it lives.
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        self._pause = self._find_pause() if self._address else None
        self._due = 0.0
        self._failing = False

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to be told."""
        return self._sock is not None

    def send(self, *lines: str) -> bool:
        """Tell some things at once; False: the manager has not got them.

        Args:
            lines: ``READY=1`` and the like.
        """
        if self._sock is None or self._address is None:
            return False
        data = "\n".join(lines).encode("utf-8", "replace")
        try:
            self._sock.sendto(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
        except OSError as error:
            if not self._failing:
                self._log("notify_failed", level="warning", socket=self._name, error=error.strerror or str(error))
            self._failing = True
            return False
        self._failing = False
        return True

    # Half of it, as sd_watchdog_enabled(3) advises.
    def beat(self) -> None:
        """Say that this process lives, when it is time to; call it again and again."""
        now = time.monotonic()
        if self._pause is not None and now >= self._due:
            self._due = now + (self._pause if self.send("WATCHDOG=1") else min(self._pause, _RETRY_INTERVAL))

    @contextmanager
    def exported(self) -> Iterator[None]:
        """The environment as it was: for the program that this process becomes."""
        self._environ.update(self._variables)
        try:
            yield
        finally:
            for name in self._variables:
                self._environ.pop(name, None)

    def close(self) -> None:
        """Tell no more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    @property
    def _name(self) -> str:
        return self._variables.get("NOTIFY_SOCKET", "")

    # "@" begins the name of an abstract one, unix(7). "vsock:" is for virtual machines' own managers.
    def _find(self) -> str | None:
        name = self._name
        if len(name) > 1 and name[0] in "/@":
            return "\0" + name[1:] if name[0] == "@" else name
        if name:
            self._log("notify_failed", level="warning", socket=name, error="neither a path nor an abstract socket")
        return None

    def _find_pause(self) -> float | None:
        usec, pid = self._variables.get("WATCHDOG_USEC"), self._variables.get("WATCHDOG_PID")
        if usec is None or pid not in (None, str(os.getpid())):
            return None
        if usec.isdecimal():
            return int(usec) / 2e6 or None
        self._log("notify_failed", level="warning", watchdog=usec, error="WATCHDOG_USEC is no number of microseconds")
        return None
