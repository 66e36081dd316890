"""The errors of TLS that end a request, or one attempt at a pod."""

from __future__ import annotations

from splicer.errors import ClientError


class CertificateNotAllowed(ClientError):
    """The client's certificate has none of the route's `client_names`, or there is none."""

    status = 403
    reason = "certificate_not_allowed"
