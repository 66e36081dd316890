"""The record of one exchange or tunnel, for log and metrics: the only shared value that is filled in by and by."""

from __future__ import annotations

from attrs import Factory, define

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.hooks import LogValue
from splicer.model import Endpoint
from splicer.quality import HandshakeParts, Quality
from splicer.tls_facts import TlsFacts
from splicer.trace import RequestTrace

PASSTHROUGH = "tls"  # the protocol of a TLS connection that goes to a pod as it is


@define
class AttemptOutcome:
    """The outcome of one attempt, filled in while it runs.

    Args:
        upstream: the upstream's name.
        endpoint: the last endpoint dialled; None if none was.
        failure: None if the attempt succeeded, "abandoned" if the exchange ended first, else an error's `reason`.
        detail: one more line about the failure.
        pod: the name of the endpoint's pod.
        started: when it began, on the monotonic clock, seconds.
        resolve: the duration of all its lookups, seconds.
        connect: the duration of connecting to all the addresses that were dialled, seconds.
        handshake: the duration from the first byte of the request to the head of the answer, seconds.
        fallback: whether the upstream is the route's fallback.
        resolved: when its last lookup was over, on the monotonic clock, seconds; 0: there was none.
        connected: when it was connected, or that had failed, as above; 0: an idle connection was used, or none.
        answered: when the answer's head was there, or that had failed, as above; 0: nothing was sent.
        target: host, port and path that the pod was asked for.
        status: of the answer; None without one.
        repeats: how often the request was sent again because its idle connection was dead.
        span: the id of its span; "": requests aren't traced.
    """

    upstream: str
    endpoint: str | None = None
    failure: str | None = None
    detail: str | None = None
    pod: str | None = None
    started: float = 0.0
    resolve: float = 0.0
    connect: float = 0.0
    handshake: float = 0.0
    fallback: bool = False
    resolved: float = 0.0
    connected: float = 0.0
    answered: float = 0.0
    target: str | None = None
    status: int | None = None
    repeats: int = 0
    span: str = ""


@define
class Record:
    """The facts about one exchange or tunnel for log and metrics; filled in as it proceeds.

    Args:
        id: unique to the exchange; the pod sees it as X-Request-ID unless a trusted proxy gave one.
        client: the client's address after `trusted_proxies`.
        started: on the monotonic clock, seconds.
        to_pod: bytes of body or tunnel sent towards the pod.
        to_client: bytes of body or tunnel sent towards the client.
        closer: the party that ended it (a `Side`); None while it lives.
        close_reason: a stable word: "eof", "reset", "idle", "complete", an error's `reason` ...
        detail: one more line when something went wrong.
        protocol: the protocol that the client asked to upgrade to; None: plain HTTP.
        adopted: how many times a tunnel has changed its worker.
        ended: end time on the monotonic clock, seconds; None while it lives.
        client_line: quality of the connection to the client, at the end of a tunnel.
        pod_line: quality of the connection to the pod, at the end of a tunnel.
        headers: the fields of `log.headers` with their values.
        version: "1.0" or "1.1", if `headers` are logged.
        hook_fields: what hooks have given for the log.
        authorize: how the question to the route's authorizer went; None: there was none.
        arrival: how the connection came, if it is not the client's own.
        trace: its place in a trace; None: requests aren't traced.
        tls: the facts of the client's TLS connection; None: it has none.
        pod_tls: the same of the pod's.
    """

    id: str
    client: str
    started: float
    method: str | None = None
    path: str | None = None
    query: str | None = None
    host: str | None = None
    route: str | None = None
    request_id: str | None = None
    upstream: str | None = None
    target: str | None = None
    endpoint: Endpoint | None = None
    protocol: str | None = None
    logged: bool = True
    status: int | None = None
    attempts: list[AttemptOutcome] = Factory(list)
    to_pod: int = 0
    to_client: int = 0
    closer: str | None = None
    close_reason: str | None = None
    detail: str | None = None
    adopted: int = 0
    ended: float | None = None
    client_line: Quality | None = None
    pod_line: Quality | None = None
    headers: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    authorize: AuthorizeOutcome | None = None
    hook_fields: tuple[tuple[str, LogValue], ...] = ()
    arrival: Arrival | None = None
    trace: RequestTrace | None = None
    tls: TlsFacts | None = None
    pod_tls: TlsFacts | None = None

    @property
    def passed_through(self) -> bool:
        """Whether it is no request, but a TLS connection that goes to a pod as it is."""
        return self.method is None and self.protocol == PASSTHROUGH

    @property
    def parts(self) -> HandshakeParts:
        """The durations summed over all attempts."""
        resolve = connect = handshake = 0.0
        for attempt in self.attempts:
            resolve += attempt.resolve
            connect += attempt.connect
            handshake += attempt.handshake
        return HandshakeParts(resolve, connect, handshake)
