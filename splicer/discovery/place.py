"""Where the API server is, and how a client is let in (client-go, rest/config.go: InClusterConfig)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from splicer.discovery.failures import ApiFailure, NotInCluster

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_FILE, CA_FILE = f"{_ACCOUNT}/token", f"{_ACCOUNT}/ca.crt"
_LONGEST_TOKEN = 64 * 1024  # bytes
_PORTS = {"https": 443, "http": 80}


@frozen
class Place:
    """An API server.

    The files are read for each request: the kubelet replaces the token when 80 % of its time are over, and the CA when
    the cluster gets another one.

    Args:
        host: a name or an address.
        port: TCP.
        tls: whether the connection is encrypted, and the server has to show a certificate for `host`.
        path: what stands before ``/apis``, without a final slash.
        token_file: the bearer token; None: none is sent.
        ca_file: the certificates of those who may sign the server's, PEM; None: those that the system trusts.
    """

    host: str
    port: int
    tls: bool = True
    path: str = ""
    token_file: str | None = TOKEN_FILE
    ca_file: str | None = CA_FILE

    @classmethod
    def in_cluster(
        cls, environ: Mapping[str, str], *, token_file: str | None = None, ca_file: str | None = None
    ) -> Place:
        """That of the cluster to which this pod belongs.

        Raises:
            NotInCluster: the environment names none.
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "")
        if not host or not port.isdecimal():
            raise NotInCluster
        return cls(host, int(port), token_file=token_file or TOKEN_FILE, ca_file=ca_file or CA_FILE)

    @classmethod
    def at(cls, url: str, *, token_file: str | None = None, ca_file: str | None = None) -> Place:
        """That of a checked URL, ``https://HOST[:PORT][/PATH]`` or ``http://…``; to the latter no token is sent."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(
            parts.hostname or "",
            parts.port or _PORTS[parts.scheme],
            tls=tls,
            path=parts.path.rstrip("/"),
            token_file=(token_file or TOKEN_FILE) if tls else None,
            ca_file=ca_file or CA_FILE,
        )

    @property
    def authority(self) -> str:
        """For the header Host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def token(self) -> str | None:
        """The token as the file has it now.

        Raises:
            ApiFailure: it can't be read, or what it has is no token.
        """
        if self.token_file is None:
            return None
        try:
            with Path(self.token_file).open("rb") as file:
                text = file.read(_LONGEST_TOKEN + 1).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ApiFailure("token", f"{self.token_file}: {_why(error)}") from None
        if not text or len(text) > _LONGEST_TOKEN or not text.isprintable() or " " in text:
            raise ApiFailure("token", f"{self.token_file}: no token")
        return text

    def context(self) -> ssl.SSLContext:
        """A context that trusts the CA as the file has it now.

        Raises:
            ApiFailure: it can't be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ApiFailure("ca", f"{self.ca_file}: {_why(error)}") from None
        # Set by default since Python 3.13, it refuses the CAs of older clusters, which have no key identifiers
        # (kubernetes-client/python#2394). Chain, time and name are checked without it, too.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["http/1.1"])
        return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "no certificate in it"
    return error.strerror or str(error) if isinstance(error, OSError) else "not ASCII"
