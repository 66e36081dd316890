"""The traces of requests: which are continued, which begin here, which are sampled, and what pods are told.

Only numbers are drawn here. What is recorded of a sampled request is told by an observer, at its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from splicer.config.tracing import TracingSettings
from splicer.http1.forwarded import Forwarding
from splicer.http1.trace_headers import read_context, trace_fields
from splicer.model import Headers, RequestHead
from splicer.session.identity import identities
from splicer.trace import RequestTrace, is_sampled

_IDENTITIES = identities()
_LONGEST_AGENT = 256  # characters


def new_span_id() -> str:
    """A random id of a span."""
    return next(_IDENTITIES)


def new_trace_id() -> str:
    """A random id of a trace."""
    return next(_IDENTITIES) + next(_IDENTITIES)


@frozen
class Tracing:
    """The rules of one configuration.

    Args:
        settings: ``[tracing]``.
        patterns: the routes' `http.route`, by name.
    """

    settings: TracingSettings
    patterns: Mapping[str, str] = field(default=MappingProxyType({}))

    # Invariant: a client that isn't trusted decides nothing: neither the trace of its request nor its sampling.
    def begin(self, head: RequestHead, origin: Forwarding, peer: str, span_id: str) -> RequestTrace:
        """The trace of a request.

        Args:
            head: the request.
            origin: where it comes from.
            peer: the numeric address of the connection's other end.
            span_id: the request's.
        """
        settings = self.settings
        came = read_context(head, settings.propagate)
        trusted = settings.trust == "anyone" or (settings.trust == "proxies" and origin.believed)
        trace_id = parent = state = ""
        decided = link = None
        if came is not None:
            if trusted:
                trace_id, parent, state, decided = came.trace_id, came.span_id, came.state, came.sampled
            elif came.trace_id:
                link = came
        trace_id = trace_id or new_trace_id()
        sampled = is_sampled(trace_id, settings.sample) if decided is None else decided
        agents = head.values(b"user-agent")
        agent = agents[0][:_LONGEST_AGENT].decode("latin-1") if agents else ""
        return RequestTrace(trace_id, span_id, sampled, parent, state, link, origin.proto, head.version, agent, peer)

    def fields(self, trace: RequestTrace, span_id: str) -> Headers:
        """The header fields for a pod or an authorizer.

        Args:
            trace: the request's.
            span_id: that of the attempt, or of the question.
        """
        return tuple(trace_fields(trace, span_id, self.settings.propagate))
