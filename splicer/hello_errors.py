"""Why a TLS connection was closed that should have gone to a pod as it is. The client gets an alert at most."""

from __future__ import annotations

from splicer.errors import ClientError


class HelloError(ClientError):
    """The client's first TLS message leads nowhere."""


class NotTls(HelloError):
    """The connection does not begin with a TLS handshake."""

    reason = "tls_not_tls"


class MalformedHello(HelloError):
    """The ClientHello breaks the specification, or is longer than what is looked at."""

    reason = "tls_malformed"


class UnknownName(HelloError):
    """No `[[passthrough]]` has the name that the client asks for, and there are no certificates for others."""

    reason = "tls_unknown_name"


class HelloTimeout(HelloError):
    """The ClientHello did not come within the deadline."""

    reason = "tls_deadline"


ERRORS = (NotTls, MalformedHello, UnknownName, HelloTimeout)
