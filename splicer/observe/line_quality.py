"""The network quality of a live tunnel's two connections: the kernel's word, or that of the tls process between."""

from __future__ import annotations

from typing import Any

from splicer.net.tcpinfo import quality
from splicer.quality import Quality
from splicer.relay.api import TunnelView


def line_qualities(tunnel: TunnelView[Any]) -> tuple[Quality | None, Quality | None]:
    """The client's and the pod's."""
    client, pod = (
        quality(sock) if peer_end is None else peer_end.quality()
        for sock, peer_end in zip(tunnel.sockets, tunnel.peer_ends, strict=True)
    )
    return client, pod
