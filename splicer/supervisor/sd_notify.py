"""Notifications to a service manager (sd_notify(3)); sending never blocks.

The protocol is one datagram with a few lines. The libraries for it are about as long as this file, and either block
when the manager doesn't read, or need a C compiler.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

from splicer.supervisor.launch import MANAGERS

_MIN_PAUSE = 0.02  # seconds between two watchdog messages, at least: the loop makes a turn for each
_RETRY_INTERVAL = 1.0  # seconds until a watchdog message that was not taken is sent again

Log = Callable[..., None]


class SdNotify:
    """The manager's socket, if there is one.

    Args:
        environ: the environment; the variables are removed from it, because messages from a child would confuse the
            manager.
        log: called once when notifications fail.
    """

    def __init__(self, environ: MutableMapping[str, str], log: Log) -> None:
        self._log = log
        self._environ = environ
        self._variables = {name: environ.pop(name) for name in MANAGERS if name in environ}
        self._address = self._find()
        # Kept open: a process without free descriptors must still be able to send watchdog messages.
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        self._pause = self._find_pause() if self._address else None
        self._due = 0.0
        self._failing = False

    @property
    def wanted(self) -> bool:
        """Whether a service manager wants notifications."""
        return self._sock is not None

    def send(self, *lines: str) -> bool:
        """Send some lines in one message; False: the manager has not got them.

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

    @property
    def due(self) -> float:
        """When `beat` has to be called next, on the monotonic clock."""
        return math.inf if self._pause is None or self._sock is None else self._due

    # Sent at half the watchdog's interval, as sd_watchdog_enabled(3) advises.
    def beat(self) -> None:
        """Send a watchdog message when it is due; call this in each turn of the loop."""
        now = time.monotonic()
        if self._pause is not None and now >= self._due:
            self._due = now + (self._pause if self.send("WATCHDOG=1") else min(self._pause, _RETRY_INTERVAL))

    @contextmanager
    def exported(self) -> Iterator[None]:
        """Restore the removed variables within the block, for the program that this process becomes by exec."""
        self._environ.update(self._variables)
        try:
            yield
        finally:
            for name in self._variables:
                self._environ.pop(name, None)

    def close(self) -> None:
        """Stop sending."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    @property
    def _name(self) -> str:
        return self._variables.get("NOTIFY_SOCKET", "")

    # "@" begins the name of an abstract socket (unix(7)). "vsock:" is for managers outside a virtual machine.
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
            return max(int(usec) / 2e6, _MIN_PAUSE) if int(usec) else None
        self._log("notify_failed", level="warning", watchdog=usec, error="WATCHDOG_USEC is no number of microseconds")
        return None
