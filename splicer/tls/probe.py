"""The probe: which server name a client asks for, before its connection gets a context.

A context must not be changed in `sni_callback`: OpenSSL then takes the new one's certificate, but neither its
`verify_mode` nor its `minimum_version`, and says nothing (`tests/tls/test_traps.py`). So a throw-away connection reads
the first bytes, and the real one, of the right context, gets the same bytes again.
"""

from __future__ import annotations

import ssl

_MOST = 64 * 1024  # bytes of a ClientHello


class ProbeFailed(Exception):
    """The bytes are no ClientHello.

    Args:
        reason: OpenSSL's word.
        answer: its alert.
    """

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


class Probe:
    """Reads one ClientHello, in as many pieces as it comes."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "data", "sni")

    def __init__(self, context: ssl.SSLContext) -> None:
        self.data = b""  # all bytes so far
        self.sni: str | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether the ClientHello is complete, and `sni` known.

        Raises:
            ProbeFailed: they are none.
        """
        self.data += data
        self._incoming.write(data)
        _asked[:] = [None]
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if len(self.data) > _MOST:
                raise ProbeFailed("CLIENT_HELLO_TOO_LONG") from None
            return False
        except ssl.SSLError as error:
            if error.reason != _STOPPED:
                raise ProbeFailed(error.reason or "SSL_ERROR", self._outgoing.read()) from None
        self.sni = _asked[0]
        return True


# What the callback of the last `feed` has heard: one context serves all probes, and this process has one thread.
_asked: list[str | None] = [None]
_STOPPED = "CALLBACK_FAILED"


def probe_context() -> ssl.SSLContext:
    """The context of all probes: it stops each handshake when it knows the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # too old a version is the real context's to refuse
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.sni_callback = _note
    return context


def _note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
    _asked[0] = name
    return ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
