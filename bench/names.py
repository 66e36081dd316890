"""The name server of a run (RFC 1035): it has an address for each pod.

with serving(job.pods, "pods.bench") as nameserver:
    Job(..., nameserver=nameserver)
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from dnslib import QTYPE, RCODE, RR, A, DNSError, DNSRecord

from bench.peers.base import Address

_TTL_SECONDS = 10  # seconds
_LARGEST = 4096  # bytes of a query


@contextmanager
def serving(pods: Iterable[tuple[str, str]], domain: str, host: str = "127.0.0.1") -> Iterator[Address]:
    """Answer over UDP, in a thread; queries are rare, since answers may be cached for 10 s.

    Args:
        pods: names and addresses.
        domain: the suffix of all names.
        host: the address to listen at, with any free port.

    Yields:
        the address at which it listens.
    """
    addresses = {f"{name}.{domain}.".lower(): address for name, address in pods}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        thread = threading.Thread(target=_serve, args=(sock, addresses), daemon=True)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join()


# A datagram to itself stops the thread: closing a socket does not wake up a thread that is reading from it.
def _serve(sock: socket.socket, addresses: Mapping[str, str]) -> None:
    ours = sock.getsockname()
    while True:
        wire, client = sock.recvfrom(_LARGEST)
        if client == ours:
            return
        try:
            query = DNSRecord.parse(wire)
        except DNSError:
            continue
        sock.sendto(_answer(query, addresses), client)


# A name that exists gives no error, whatever type is queried (RFC 2308 §2.2).
def _answer(query: DNSRecord, addresses: Mapping[str, str]) -> bytes:
    reply = query.reply()
    address = addresses.get(str(query.q.qname).lower())
    if address is None:
        reply.header.rcode = RCODE.NXDOMAIN
    elif query.q.qtype == QTYPE.A:
        reply.add_answer(RR(query.q.qname, QTYPE.A, rdata=A(address), ttl=_TTL_SECONDS))
    return bytes(reply.pack())
