"""The edits of one request: those of its route, filled in with what is known of the request."""

from __future__ import annotations

from attrs import define, evolve

from splicer.edits import Edits, FieldEdits, RequestFacts
from splicer.errors import BadRequest
from splicer.http1.forwarded import Forwarding
from splicer.http1.target import is_authority
from splicer.model import Headers, Match, RequestHead
from splicer.routing.hosts import host_name


def facts_of(match: Match, head: RequestHead, origin: Forwarding) -> RequestFacts:
    """The facts of one request.

    Args:
        match: its route and captures.
        head: the client's.
        origin: where it comes from.
    """
    return RequestFacts(
        captures=match.captures,
        host=host_name(head.host),
        client=origin.client,
        scheme=origin.proto,
        path=head.path,
        query=head.query,
        request_id=origin.request_id,
        headers=head.headers,
    )


@define(eq=False)
class RouteEdits:
    """The edits of one request.

    Args:
        edits: the route's.
        facts: of the request.
    """

    edits: Edits
    facts: RequestFacts

    def learn(self, match: Match, head: RequestHead, granted: Headers) -> None:
        """Take over what an authorizer has changed: the captures, and the fields that the pod gets."""
        self.facts = evolve(self.facts, captures=match.captures, headers=(*head.headers, *granted))

    def host(self) -> str:
        """The Host for the pod; "": the client's.

        Raises:
            BadRequest: a capture in it, or another name, has put in what no Host may have (RFC 9110 §7.2).
        """
        if self.edits.host is None:
            return ""
        host = self.edits.host.render(self.facts)
        if not is_authority(host):
            raise BadRequest(f"the route's host would be {host!r}")
        return host

    def request(self) -> FieldEdits | None:
        """The changes to the request for a pod; None: there are none."""
        return None if self.edits.request is None else self.edits.request.render(self.facts)

    def answer(self) -> FieldEdits | None:
        """The changes to the client's answer; None: there are none."""
        return None if self.edits.response is None else self.edits.response.render(self.facts)
