"""The interface of Python hooks: what a hook is given, and what it may decide. See docs/hooks.md.

A hook is a class in a module of your own, named under ``[hooks.NAME]``. Each worker makes one object of it for each
configuration, with the table's `options` as keyword arguments, and calls it in its Trio event loop. Everything here is
covered by `HOOK_API`: a later version may add fields with a default and methods that need not be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from attrs import field, frozen

HOOK_API = 1
"""The version of this interface; it grows when something that worked no longer does."""

Headers = tuple[tuple[bytes, bytes], ...]
LogValue = str | int | float | bool


@frozen
class Request:
    """The head of one request. Nothing was sent to a pod yet.

    Args:
        id: unique to the request; the pod gets it as X-Request-ID unless a trusted proxy gave one.
        method: as received, in its own case.
        scheme: "http" or "https"; a trusted proxy's X-Forwarded-Proto counts.
        host: the Host as received; "" if an HTTP/1.0 client sent none.
        path: as received, with percent-encoding and without the query.
        query: the text after the "?"; None without one.
        headers: all fields in order; names in their own case.
        client: the client's address after `trusted_proxies`, without a port.
        route: the name of the route that matched.
        captures: of the route's pattern, with percent-encoding as received.
        protocol: the protocol that it asks to upgrade to, in lower case; None: plain HTTP.
    """

    id: str
    method: str
    scheme: str
    host: str
    path: str
    query: str | None
    headers: Headers
    client: str
    route: str
    captures: Mapping[str, str]
    protocol: str | None = None

    @property
    def target(self) -> str:
        """Path and query as received."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a field, in order, decoded as ISO 8859-1; case doesn't count in names."""
        key = name.lower().encode("latin-1")
        return tuple(value.decode("latin-1") for header, value in self.headers if header.lower() == key)

    def header(self, name: str) -> str | None:
        """The value of a field; None without one. Several values are joined by commas (RFC 9110 §5.3)."""
        values = self.values(name)
        return ", ".join(values) if values else None


@frozen
class Answer:
    """A decision: the client gets this answer, and no pod is asked.

    Args:
        status: from 200 to 599.
        body: the whole body.
        headers: further fields; not those about the connection or the length, which the edge writes.
        content_type: the Content-Type.
    """

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = "text/plain; charset=utf-8"


@frozen
class Continue:
    """A decision: the request goes on, changed.

    Args:
        set_headers: fields that replace the client's towards the pod.
        remove_headers: fields that the pod doesn't get.
        captures: further captures, or other values of the route's; each that names a pod must be one DNS label.
        upstream: the name of the upstream to use in place of the route's; None: the route's. The fallback stays.
        log: up to 8 short fields for the lines of the log about this request and its call.
    """

    set_headers: Mapping[str, str] = field(factory=lambda: MappingProxyType({}))
    remove_headers: tuple[str, ...] = ()
    captures: Mapping[str, str] = field(factory=lambda: MappingProxyType({}))
    upstream: str | None = None
    log: Mapping[str, LogValue] = field(factory=lambda: MappingProxyType({}))


Decision = Answer | Continue


@frozen
class CallEnd:
    """A call that is over. If the call changed its worker, the hook of the last one is told.

    Args:
        id: the request's.
        route: the route's name.
        client: the client's address.
        pod: the pod's name; None if it is not known.
        endpoint: the pod's address and port.
        seconds: from the request's head to the end.
        to_pod: bytes that went to the pod after the handshake.
        to_client: bytes that went to the client after the handshake.
        closed_by: "client", "pod" or "proxy".
        reason: the log's word, such as "eof", "reset" or "idle".
        log: the fields that hooks gave for the log.
    """

    id: str
    route: str
    client: str
    pod: str | None
    endpoint: str | None
    seconds: float
    to_pod: int
    to_client: int
    closed_by: str | None
    reason: str | None
    log: Mapping[str, LogValue] = field(factory=lambda: MappingProxyType({}))


class RequestHook(Protocol):
    """A hook that decides about requests."""

    async def on_request(self, request: Request) -> Decision | None:
        """Decide about a request of a route that names the hook, within its `deadline`; None: it goes on as it is.

        It runs in the worker's event loop (Trio), where all calls are: it may await, and must not block. What it raises
        counts as its failure.
        """


class CallHook(Protocol):
    """A hook that is told of calls; the same class may be a `RequestHook`."""

    def on_call_end(self, call: CallEnd) -> None:
        """Hear of the end of a call of a route that names the hook, after its line in the log. It must not block."""


class ClosableHook(Protocol):
    """A hook with something to close."""

    async def aclose(self) -> None:
        """Close what the hook holds, within 5 s: its configuration was replaced, and its last request is over."""
