"""One TLS connection after its handshake: ciphertext on the raw socket, plaintext on the plain end.

- In each direction at most one chunk is held; a source whose sink is full is not read: nothing grows with a slow peer.
- What OpenSSL wants to send is sent after every call of it, also after reads: tickets, key updates, alerts.
- `unwrap` is called once, when no byte is left undecrypted: with unread data it would raise, and the data be gone
  (`tests/tls/test_traps.py`). After it, reading goes on: TLS has half-closed connections too.
- The end of the peer's stream is noted in the table before the plain end says it.
"""

from __future__ import annotations

import ssl

from splicer.ipc.tls_table import WRITING, End, ProcessWord, Word
from splicer.tls.ends import LinkEnds
from splicer.tls.loop import ERR, HUP, IN, OUT

_PLAIN_BYTES = 16 * 1024  # one record's most
_CIPHER_BYTES = _PLAIN_BYTES + 512
_RECEIVED, _SENT, _LAST = map(int, (Word.RECEIVED, Word.SENT, Word.LAST))


class Link(LinkEnds):
    """Copies bytes both ways until both sides have closed; see `LinkEnds`."""

    __slots__ = ()

    def begin(self, preface: bytes) -> None:
        """Take the descriptors over from the handshake, and what the peer has sent behind it.

        Args:
            preface: goes to the worker first; a new socket has room for it.
        """
        loop = self._loop
        loop.handle(self._raw.fileno(), self.on_raw)
        loop.handle(self._plain.fileno(), self.on_plain)
        loop.change(self._raw.fileno(), IN)
        loop.change(self._plain.fileno(), IN)
        try:
            self._plain.sendall(preface)
        except OSError:
            self.close()
            return
        self._decrypt()
        if not self.closed:
            self._watch()

    # ---- from the peer ----

    def on_raw(self, mask: int) -> None:
        """Handle events of the raw socket."""
        if mask & OUT and self._to_raw:
            self._flush()
        if self.closed or not mask & (IN | HUP | ERR):
            return
        if self._raw_over or self._to_plain:  # it is broken, and bytes that came before wait for room
            self._unwatch_raw()
            return
        try:
            data = self._raw.recv(_CIPHER_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._peer_ends(self._broken or _end_of(error))
            return
        if not data:
            self._words[ProcessWord.TRUNCATED] += not self._broken
            self._peer_ends(self._broken or End.EOF)
            return
        self._incoming.write(data)
        self._decrypt()

    def _decrypt(self) -> None:
        incoming, end = self._incoming, End.OPEN
        while True:
            data = b""
            try:
                data = more = self._tls.read(_PLAIN_BYTES)
                while more and incoming.pending and len(data) < _PLAIN_BYTES:
                    more = self._tls.read(_PLAIN_BYTES)
                    data += more
                if not more:  # the peer has said close_notify
                    end = End.EOF
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:  # as above, when we have said it too
                end = End.EOF
            except ssl.SSLError as error:
                end = self._end_of_tls(error)
            if self._outgoing.pending:
                self._flush()
            if data and not (self.closed or self._leaving):
                self._deliver(data)
            if self.closed:
                return
            if end or self._to_plain or not incoming.pending:
                break
        if end:
            self._peer_ends(end)
        elif self._plain_eof and not self._said:
            self._say_goodbye()

    def _end_of_tls(self, error: ssl.SSLError) -> End:
        refused = self._to_pod and not self._words[self._base + _RECEIVED] and "ALERT" in (error.reason or "")
        return End.REFUSED if refused else End.TLS_ERROR

    def _deliver(self, data: bytes) -> None:
        words, base = self._words, self._base
        count = words[base + _RECEIVED]
        words[base + _RECEIVED] = count | WRITING
        try:
            sent = self._plain.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            words[base + _RECEIVED] = count
            self._worker_leaves()
            return
        words[base + _RECEIVED] = count + sent
        words[base + _LAST] = self._loop.now
        if sent < len(data):
            self._to_plain = data[sent:]
            self._watch()

    # ---- from the worker ----

    def on_plain(self, mask: int) -> None:
        """Handle events of the plain end."""
        if mask & OUT and self._to_plain:
            data, self._to_plain = self._to_plain, b""
            self._deliver(data)
            if not (self.closed or self._to_plain):
                self._delivered()
        if self.closed:
            return
        if mask & HUP and not self._leaving:
            self._worker_leaves()
            if self.closed:
                return
        if mask & (IN | HUP | ERR):
            if self._to_raw or self._plain_eof:
                self._watch()
            else:
                self._encrypt()

    def _encrypt(self) -> None:
        try:
            data = self._plain.recv(_PLAIN_BYTES)
        except BlockingIOError:
            return
        except OSError:  # unread bytes were left in the worker's socket
            data = b""
        if not data:
            self._worker_ends()
            return
        words, base = self._words, self._base
        words[base + _SENT] += len(data)
        words[base + _LAST] = self._loop.now
        if self._broken:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:  # the connection has failed, and a read has said why
            self._broken = End.TLS_ERROR
            return
        self._flush()

    # ---- what leaves for the peer ----

    def _flush(self) -> None:
        outgoing, blocked = self._outgoing, self._to_raw
        data = blocked or outgoing.read()
        try:
            while data:
                sent = self._raw.send(data)
                data = data[sent:] or (outgoing.read() if outgoing.pending else b"")
        except BlockingIOError:
            self._to_raw = data
            self._watch()
            return
        except OSError as error:
            self._break(_end_of(error))
            return
        if blocked:
            self._to_raw = b""
            self._watch()
        if self._said:
            self._finish()

    # The peer takes nothing more. What it sent before is still delivered, and its end or its error is read behind that.
    def _break(self, end: End) -> None:
        self._broken, self._to_raw = end, b""
        self._outgoing.read()
        if self._plain_eof or self._raw_over:
            self.close()
        else:
            self._loop.queue(self._look_again)

    def _look_again(self) -> None:
        if not (self.closed or self._raw_over or self._to_plain):
            self._watch()
            self.on_raw(IN)


def _end_of(error: OSError) -> End:
    return End.TIMED_OUT if isinstance(error, TimeoutError) else End.RESET
