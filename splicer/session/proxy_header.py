"""The PROXY header for a pod: whose connection it is."""

from __future__ import annotations

import socket

from splicer.arrival import Arrival
from splicer.http1.forwarded import Forwarding
from splicer.proxyproto.header import Place
from splicer.proxyproto.outgoing import client_header
from splicer.session.client import ClientLeg


def proxy_header(version: str, client: ClientLeg, origin: Forwarding) -> bytes:
    """The header for a connection that is opened for a request.

    Its source is the client after `trusted_proxies`, its destination the address where the client's connection was
    accepted.

    Args:
        version: "v1" or "v2".
        client: the client's connection.
        origin: what is known of the request's client.
    """
    arrival, tls = client.arrival, client.stream.tls
    if origin.believed and origin.client != client.peer:  # another proxy's word, which names no port
        port = 0
    elif arrival is not None:
        port = arrival.port
    else:
        port = _place(client.stream.sock, peer=True)[1] if tls is None else tls.facts.port
    local = arrival.local if arrival is not None else None
    if local is None:
        local = _place(client.stream.sock) if tls is None else tls.facts.local
    if tls is not None:
        arrival = Arrival("", secure=True, facts=tls.facts.logged)
    return client_header(version, (origin.client, port), local or ("", 0), origin.request_id, arrival)


# The client may be gone, and then its socket has no peer.
def _place(sock: socket.socket, *, peer: bool = False) -> Place:
    try:
        name = sock.getpeername() if peer else sock.getsockname()
    except OSError:
        return "", 0
    return (name[0].partition("%")[0], name[1]) if isinstance(name, tuple) else ("", 0)
