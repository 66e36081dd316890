"""Connections at a TLS listener: a tls process does the handshake, then they are served like all others."""

from __future__ import annotations

import socket
from dataclasses import replace

import trio

from splicer.ipc.tls_messages import ServeClient
from splicer.net.plain_stream import PlainStream
from splicer.session.context import ConnectionState, SessionContext
from splicer.tls_facts import TlsFailure
from splicer.upstream.tls_links import TlsLinks


class TlsArrivals:
    """Has the handshakes of clients done.

    Args:
        context: the session's context.
        links: the tls processes.
    """

    def __init__(self, context: SessionContext, links: TlsLinks) -> None:
        self._context = context
        self._links = links

    # While the handshake is under way, the connection is one of which a request head is read.
    async def shake_hands(self, raw: socket.socket, peer: str, profile: str) -> PlainStream | None:
        """The plain end of a client's connection; None: the handshake has failed, and the connection is closed.

        Args:
            raw: the client's socket; it is closed here.
            peer: the client's numeric address.
            profile: the listener's.
        """
        context, counts = self._context, self._context.counts
        outcome: PlainStream | TlsFailure | None = None
        ends = _ends(raw)
        place = counts.enter(ConnectionState.READING)
        try:
            with trio.move_on_after(context.rules.deadlines.tls):
                outcome = await self._links.shake_hands(ServeClient(profile), raw)
        except OSError as error:
            outcome = TlsFailure("tls_no_process", error.strerror or "")
        finally:
            counts.leave(place)
        if outcome is None:
            lacking = not self._links.serve
            outcome = TlsFailure("tls_no_process" if lacking else "tls_deadline", "the handshake is not over in time")
        if isinstance(outcome, TlsFailure):
            context.observer.tls_failed("client", peer, profile, outcome)
            return None
        facts = outcome.tls.facts
        context.observer.tls_established("client", profile, facts.seconds)
        if ends is not None:
            port, local = ends
            return PlainStream(outcome.sock, self._links.entry(replace(facts, port=port, local=local)))
        return outcome


# The tls process gets the socket that knows them. A client that has left meanwhile has none.
def _ends(raw: socket.socket) -> tuple[int, tuple[str, int]] | None:
    try:
        return raw.getpeername()[1], raw.getsockname()[:2]
    except OSError:
        return None
