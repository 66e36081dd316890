"""The handshake of one connection: with a client, whose name is probed first, or with a pod.

The worker has the deadline: when it is over, it closes the plain end. So nothing is timed here.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from splicer.tls.loop import IN, OUT, Loop
from splicer.tls.preface import pack
from splicer.tls_facts import ClientCertificate, TlsFacts, TlsFailure

_CIPHER_BYTES = 16 * 1024 + 512
_LINGER_SECONDS = 2.0  # for a peer to read our alert

Established = Callable[["Handshake", TlsFacts], None]


class Handshake:
    """A handshake under way.

    Args:
        loop: the process's loop.
        raw: the socket to the peer.
        plain: the plain end.
        established: called when it has succeeded: the descriptors are the caller's then.
        over: called when it has failed, and all is closed.
    """

    def __init__(
        self,
        loop: Loop,
        raw: socket.socket,
        plain: socket.socket,
        established: Established,
        over: Callable[[Handshake], None],
    ) -> None:
        self.loop = loop
        self.raw = raw
        self.plain = plain
        self.sni: str | None = None
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None
        self.closed = False
        self._established = established
        self._over = over
        self._began = time.monotonic()
        self._to_raw = b""
        self._queued = False
        self._failed = False
        loop.watch(raw.fileno(), IN, self.on_raw)
        loop.watch(plain.fileno(), 0, self.on_plain)

    # ---- what the two kinds do ----

    def take(self, data: bytes) -> None:
        """Take bytes before `tls` is there."""
        raise NotImplementedError

    def judge(self, tls: ssl.SSLObject) -> TlsFailure | None:
        """Whether the peer is accepted, whose certificate OpenSSL has verified."""
        raise NotImplementedError

    def facts_of(self, der: bytes, certificate: Mapping[str, Any]) -> ClientCertificate | None:
        """What the worker is told of the peer's certificate."""
        raise NotImplementedError

    def failure_of(self, error: ssl.SSLError) -> TlsFailure:
        """What OpenSSL's error means."""
        raise NotImplementedError

    def cut_off(self) -> TlsFailure:
        """The failure of a peer that has closed in the middle."""
        return TlsFailure("tls_closed", "closed in the middle of the handshake", self.sni)

    # ---- events ----

    def on_plain(self, _: int) -> None:
        """The worker has given up, or is dead."""
        self.close()

    def on_raw(self, _: int) -> None:
        """Wait for a turn."""
        if not self._queued:
            self._queued = True
            self.loop.queue(self._step)

    def _step(self) -> None:
        self._queued = False
        if self.closed:
            return
        if self._to_raw:
            self._flush()
            if self._to_raw:
                return
        try:
            data = self.raw.recv(_CIPHER_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(TlsFailure("tls_closed", error.strerror or ""))
            return
        if self._failed:  # until the peer has read why
            if not data:
                self.close()
            return
        if not data:
            self._fail(self.cut_off())
            return
        self._go_on(data)

    def _go_on(self, data: bytes) -> None:
        if self.tls is not None:
            self.incoming.write(data)
        else:
            self.take(data)
        if self.tls is not None:
            self._shake_hands(self.tls)

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(self.failure_of(error))
        else:
            self._flush()
            if not self._failed:
                self._finish(tls)

    def _finish(self, tls: ssl.SSLObject) -> None:
        if (failure := self.judge(tls)) is not None:
            self._fail(failure)
            return
        der = tls.getpeercert(binary_form=True)
        name, _, _ = tls.cipher() or ("", "", 0)
        facts = TlsFacts(
            version=tls.version() or "",
            cipher=name,
            sni=self.sni,
            resumed=bool(tls.session_reused),
            seconds=time.monotonic() - self._began,
            peer=None if der is None else self.facts_of(der, tls.getpeercert() or {}),
        )
        self._established(self, facts)

    def begin(self, tls: ssl.SSLObject) -> None:
        """Begin, as the side that speaks first."""
        self.tls = tls
        self._shake_hands(tls)

    # ---- ends ----

    def refuse(self, failure: TlsFailure, answer: bytes) -> None:
        """Fail with an answer that OpenSSL does not write."""
        self._to_raw += answer
        self._fail(failure)

    # The peer gets its alert: closing with unread bytes would reset the connection, and discard it.
    def _fail(self, failure: TlsFailure) -> None:
        if self._failed:
            return
        self._failed = True
        with suppress(OSError):  # the worker is dead
            self.plain.send(pack(failure))
        self._flush()
        self.loop.forget(self.plain.fileno())
        self.plain.close()
        try:
            self.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.loop.later(_LINGER_SECONDS, self.close)

    def _flush(self) -> None:
        data = self._to_raw + self.outgoing.read()
        try:
            sent = self.raw.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._to_raw = b""
            self._fail(TlsFailure("tls_closed", error.strerror or ""))
            return
        waited, self._to_raw = bool(self._to_raw), data[sent:]
        if bool(self._to_raw) != waited and not self.closed:
            self.loop.change(self.raw.fileno(), IN | OUT if self._to_raw else IN)

    def close(self) -> None:
        """Close both sockets."""
        if self.closed:
            return
        self.closed = True
        for sock in (self.raw, self.plain):
            if sock.fileno() >= 0:
                self.loop.forget(sock.fileno())
                sock.close()
        self._over(self)
