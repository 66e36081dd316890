"""The errors of TLS that end a request, or one attempt at a pod."""

from __future__ import annotations

from splicer.errors import ClientError, ConnectFailed, ConnectTimeout, Side


class CertificateNotAllowed(ClientError):
    """The client's certificate has none of the route's `client_names`, or there is none."""

    status = 403
    reason = "certificate_not_allowed"


class TlsRefused(ConnectFailed):
    """The pod refuses our handshake or our certificate, or does not speak TLS."""

    reason = "tls_refused"


class TlsUntrusted(ConnectFailed):
    """The pod's certificate is of no authority that the upstream's `tls` names, or is revoked."""

    reason = "tls_untrusted"


class TlsExpired(ConnectFailed):
    """The pod's certificate is no longer or not yet valid."""

    reason = "tls_expired"


class TlsNameMismatch(ConnectFailed):
    """The pod's certificate has none of the wanted names."""

    reason = "tls_name_mismatch"


class TlsClosed(ConnectFailed):
    """The pod closed the connection in the middle of the handshake."""

    reason = "tls_closed"


class TlsLost(ConnectFailed):
    """No tls process could do the handshake: none serves, or it has died."""

    closer = Side.PROXY
    status = 503
    reason = "tls_lost"


class TlsTimeout(ConnectTimeout):
    """No handshake within `deadlines.connect`."""

    reason = "tls_deadline"


OF_PODS: dict[str, type[ConnectFailed]] = {
    error.reason: error for error in (TlsRefused, TlsUntrusted, TlsExpired, TlsNameMismatch, TlsClosed)
}
"""Those that the words of a tls process stand for; all others are `TlsLost`."""
