"""One request and the state that its steps share."""

from __future__ import annotations

from functools import partial

import h11
import trio
from attrs import define, field

from splicer.edits import FieldEdits
from splicer.http1.forwarded import Forwarding
from splicer.http1.writer import ResponseWriter
from splicer.model import Headers, Match, RequestHead, Upstream
from splicer.net.waits import Waits
from splicer.policy.deadlines import AttemptBudget
from splicer.policy.plan import may_ride_idle
from splicer.record import Record
from splicer.session.body import RequestBody
from splicer.session.client import ClientLeg
from splicer.session.context import Ruleset, SessionContext
from splicer.session.edits import RouteEdits
from splicer.session.proxy_header import proxy_header
from splicer.upstream.client import Connector


@define(eq=False)
class Exchange:
    """The state of one request.

    Args:
        protocol: the protocol to upgrade to; None for plain HTTP.
        edits: the route's; None: it has none.
        written: a byte of the request was written to a pod.
        answered: the response head was sent to the client; a later failure can only cut the connection.
        nursery: runs the task that sends the request body; None without a body.
        granted: fields of an authorizer's answer, for the pod.
        chosen: the upstream that a hook has chosen in place of the route's; None: none has.
        to_fallback: the first attempt is one at the fallback, because the authorizer failed.
        waits: those of the client connection's task; None: there are none.
        own_connection: its connection to a pod is used for no other request.
        connector: connects it to pods, and can end the present wait.
    """

    context: SessionContext
    rules: Ruleset
    client: ClientLeg
    head: RequestHead
    match: Match
    forwarding: Forwarding
    record: Record
    server: h11.Connection
    body: RequestBody
    protocol: str | None
    edits: RouteEdits | None = None
    writer: ResponseWriter = field(init=False)
    connector: Connector = field(init=False)
    written: bool = False
    answered: bool = False
    nursery: trio.Nursery | None = None
    granted: Headers = ()
    chosen: Upstream | None = None
    to_fallback: bool = False
    waits: Waits | None = None
    own_connection: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        head = self.head
        self.own_connection = self.protocol is not None or not may_ride_idle(head.method, has_body=head.has_body)
        self.writer = ResponseWriter(self.server, head)
        budget = AttemptBudget.start(self.match.route.deadlines, trio.current_time())
        self.connector = self.connector_with(budget)

    # A method of the exchange would make a reference cycle of it and its connector.
    def connector_with(self, budget: AttemptBudget) -> Connector:
        """A connector whose PROXY headers name the client, for the attempts of one budget."""
        header = partial(proxy_header, client=self.client, origin=self.forwarding)
        return Connector(self.context, self.rules.endpoints, budget, header)

    def answer_edits(self) -> FieldEdits | None:
        """The changes to the answer; None: there are none."""
        return None if self.edits is None else self.edits.answer()

    def trace_fields(self, span_id: str) -> Headers | None:
        """The header fields with its place in a trace, for the server that a span waits for; None: it isn't traced."""
        tracing, trace = self.rules.tracing, self.record.trace
        return None if tracing is None or trace is None else tracing.fields(trace, span_id)

    def wait_in_line(self) -> None:
        """Wait for pods under the connection's own scope: no other one is open, and none will be before an answer."""
        self.connector.waits = self.waits

    def begin(self) -> Exchange:
        """Watch for the client's leaving from now on, until `finish`."""
        self.context.waiting.add(self)
        return self

    def finish(self) -> None:
        """Stop watching, and stop counting at any endpoint."""
        self.context.waiting.discard(self)
        self.connector.release()

    def client_left(self) -> bool:
        """See `context.InFlight`."""
        return self.client.stream.is_gone()

    def give_up(self) -> None:
        """End the present wait, because the client has left."""
        self.connector.give_up()
