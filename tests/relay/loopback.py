"""A peer that vanishes: no packet arrives, and nobody says so."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading

import pytest

from tests.relay.harness import Pair, small_tcp_pair

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # netdevice(7)
_IFF_UP = 1


class Loopback:
    """A network namespace of its own, with nothing but a loopback interface that can be taken down."""

    def __init__(self) -> None:
        self.pair: Pair
        self._failure: int = 0
        thread = threading.Thread(target=self._build)  # a namespace is a thread's
        thread.start()
        thread.join()
        if self._failure:
            pytest.skip(f"no network namespace can be made here: {os.strerror(self._failure)}")

    def _build(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET):
            self._failure = ctypes.get_errno()
            return
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._set_flags(_IFF_UP)
        self.pair = small_tcp_pair()

    def take_down(self) -> None:
        """From now on no packet arrives, and nobody says so."""
        self._set_flags(0)

    def _set_flags(self, flags: int) -> None:
        fcntl.ioctl(self._control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))

    def close(self) -> None:
        self._control.close()
