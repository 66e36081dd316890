"""TLS to pods: a tls process does the handshake on a connection that this worker has dialled."""

from __future__ import annotations

from splicer.ipc.tls_messages import ReachPod
from splicer.model import Endpoint
from splicer.net.stream import ByteStream
from splicer.observer import Observer
from splicer.pod_tls import PodProof
from splicer.tls_errors import OF_PODS, TlsLost
from splicer.tls_facts import TlsFailure
from splicer.upstream.tls_links import TlsLinks


class TlsPods:
    """Has the handshakes with pods done.

    Args:
        links: the tls processes.
        observer: is told of them.
    """

    def __init__(self, links: TlsLinks, observer: Observer) -> None:
        self._links = links
        self._observer = observer

    # The caller has the deadline.
    async def secure(self, stream: ByteStream, proof: PodProof, endpoint: Endpoint) -> ByteStream:
        """Speak TLS on a connection.

        Args:
            stream: the connection; it is used up.
            proof: what the pod must prove.
            endpoint: the pod's endpoint.

        Raises:
            ConnectFailed: the pod refuses, or does not prove it; or no tls process can do it.
        """
        try:
            outcome = await self._links.shake_hands(ReachPod(proof.upstream, proof.sni, proof.names), stream.sock)
        except OSError as error:
            outcome = TlsFailure(TlsLost.reason, error.strerror or "")
        if isinstance(outcome, TlsFailure):
            self._observer.tls_failed("pod", endpoint.address, proof.upstream, outcome)
            raise OF_PODS.get(outcome.reason, TlsLost)(f"{endpoint}: {outcome.detail or outcome.reason}")
        self._observer.tls_established("pod", proof.upstream, outcome.tls.facts.seconds)
        return outcome
