"""The handshake with a pod, whose certificate must have one of the wanted names."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from splicer.tls import failures
from splicer.tls.contexts import PodContext
from splicer.tls.handshake import Handshake
from splicer.tls.names import has_name
from splicer.tls_facts import ClientCertificate, TlsFailure


class PodHandshake(Handshake):
    """With a pod.

    Args:
        context: of the upstream's profile.
        sni: the server name to ask for; None: none.
        names: of which the pod's certificate must have one.
        more: as `Handshake`.
    """

    def __init__(self, context: PodContext, sni: str | None, names: tuple[str, ...], *more: Any) -> None:
        super().__init__(*more)
        self._names = names
        self.sni = sni
        self.begin(context.context.wrap_bio(self.incoming, self.outgoing, server_hostname=sni))

    def judge(self, tls: ssl.SSLObject) -> TlsFailure | None:
        """See `Handshake`."""
        has = (tls.getpeercert() or {}).get("subjectAltName", ())
        if has_name(has, self._names):  # type: ignore[arg-type]
            return None
        found = ", ".join(str(entry[1]) for entry in has[:4]) or "no name"
        return TlsFailure("tls_name_mismatch", f"it has {found}; wanted is {' or '.join(self._names)}")

    def facts_of(self, der: bytes, certificate: Mapping[str, Any]) -> ClientCertificate | None:
        """See `Handshake`."""
        return None

    def failure_of(self, error: ssl.SSLError) -> TlsFailure:
        """See `Handshake`."""
        return failures.of_pod(error)
