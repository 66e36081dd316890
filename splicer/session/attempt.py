"""The attempts of one exchange: each step of the plan sends the request to one pod (design §6).

Resolve, connect, send the head, read the response head: each under its own deadline, all under one total.
"""

from __future__ import annotations

import math
from random import uniform

import trio

from splicer.errors import (
    AttemptsTimeout,
    BadCapture,
    HandshakeTimeout,
    PodDraining,
    SplicerError,
    UnwantedStatus,
)
from splicer.http1.headers import request_for_pod
from splicer.http1.response import ResponseParser
from splicer.http1.upgrade import verify_upgrade
from splicer.http1.writer import CONTINUE
from splicer.model import Headers, ResponseHead, Upstream, authority
from splicer.net.waits import Scope
from splicer.policy.plan import Left, Plan, Progress, Step
from splicer.policy.tiers import Purpose
from splicer.record import AttemptOutcome
from splicer.routing.rewrite import target_path
from splicer.routing.template import render_host
from splicer.session.exchange import Exchange
from splicer.session.split import upstream_of
from splicer.session.tracing import new_span_id
from splicer.upstream.outcomes import report_answer, report_failure
from splicer.upstream.pod import PodLeg
from splicer.upstream.source import pod_name
from splicer.upstream.stage import Stage

_CONTINUE_TIMEOUT = 1.0  # seconds for a pod to send 100 Continue
_PAUSE = (0.025, 0.075)  # seconds before the same endpoint is tried once more; random, so that not all come together


class Attempts:
    """The attempts of one exchange.

    Args:
        exchange: the request.
    """

    def __init__(self, exchange: Exchange) -> None:
        route = exchange.match.route
        assert route.upstream is not None  # noqa: S101 - the caller answers `respond` routes itself
        self._exchange = exchange
        self._protocol = exchange.protocol
        self._route = route
        self._target = target_path(exchange.match, exchange.head.path, exchange.head.query)
        own, skip = exchange.own_connection, exchange.to_fallback
        upstream = exchange.chosen or (
            route.upstream if route.split is None or skip else upstream_of(exchange, route.split)
        )
        self._plan = Plan(upstream, route.fallback, not own, route.retries, skip)
        self._edits, self._pod_host = None, ""  # the route's changes to the request
        if exchange.edits is not None:
            if route.authorize is not None or route.hooks:
                exchange.edits.learn(exchange.match, exchange.head, exchange.granted)
            self._edits, self._pod_host = exchange.edits.request(), exchange.edits.host()
        self._named: str | None = None  # the host of the present step; None while it is not known
        self._leg: PodLeg | None = None  # the leg of the present step
        self._body_began: float | None = None
        self._said_100 = False  # for the pod

    async def run(self) -> tuple[PodLeg, ResponseHead]:
        """The leg that serves the request, and its response head: a verified 101, or a final status.

        Raises:
            PodError: no attempt succeeded; it is the last one's failure.
            BadCapture: the URL's value for the pod's name is not a DNS label.
            ClientGone: the client left.
        """
        step = self._plan.first
        outcome = self._begin(step)
        while True:
            try:
                answer = await self._take(step, outcome)
            except SplicerError as failure:
                following = self._plan.after(step, failure, self._progress(step))
                if following is None or not following.again:
                    self._fail(step, outcome, failure)
                if following is None:
                    raise
            except trio.Cancelled:
                outcome.failure = "abandoned"
                self._report(outcome)
                raise
            else:
                return self._succeed(step, outcome, answer)
            self._exchange.body.stop()
            if following.again:
                outcome.repeats += 1
                self._excuse_endpoint()
            else:
                if following.same:
                    await self._pause(following.upstream)
                outcome = self._begin(following)
            step = following

    def _begin(self, step: Step) -> AttemptOutcome:
        record = self._exchange.record
        name = record.upstream = step.upstream.name
        outcome = AttemptOutcome(name, started=trio.current_time(), fallback=step.fallback)
        if record.trace is not None:
            outcome.span = new_span_id()
        return outcome

    def _succeed(self, step: Step, outcome: AttemptOutcome, answer: ResponseHead) -> tuple[PodLeg, ResponseHead]:
        leg = self._leg
        assert leg is not None  # noqa: S101 - the answer came on it
        report_answer(self._exchange.context.outcomes, step.upstream, leg.endpoint, answer.status)
        self._report(outcome)
        record = self._exchange.record
        record.endpoint, record.pod_tls = leg.endpoint, None if leg.stream.tls is None else leg.stream.tls.facts
        return leg, answer

    def _fail(self, step: Step, outcome: AttemptOutcome, failure: SplicerError) -> None:
        self._exchange.connector.release()
        report_failure(self._exchange.context.outcomes, step.upstream, self._leg, failure)
        if not isinstance(failure, BadCapture):
            outcome.failure, outcome.detail = failure.reason, failure.detail
            self._report(outcome)

    def _report(self, outcome: AttemptOutcome) -> None:
        self._exchange.record.attempts.append(outcome)
        self._exchange.context.report(outcome)

    def _excuse_endpoint(self) -> None:
        assert self._leg is not None  # noqa: S101 - its idle connection was dead
        self._exchange.connector.excuse(self._leg.endpoint)

    async def _pause(self, upstream: Upstream) -> None:
        connector = self._exchange.connector
        connector.repeat(upstream, self._host(upstream))
        with Stage(connector, math.inf, AttemptsTimeout, lambda: upstream.name):
            await trio.sleep(uniform(*_PAUSE))  # noqa: S311 - it spreads load, it keeps no secret

    def _progress(self, step: Step) -> Progress:
        exchange, leg = self._exchange, self._leg
        return Progress(
            exchange.head.method,
            written=exchange.written,
            repeatable=exchange.body.repeatable,
            answered=exchange.answered,
            spent=exchange.connector.budget.is_spent(trio.current_time()),
            unheard=leg is not None and leg.reused and not leg.heard,
            left=self._left(step.upstream) if self._plan.retries or self._plan.is_own(step.upstream) else Left.NONE,
        )

    def _left(self, upstream: Upstream) -> Left:
        if self._named is None:
            return Left.NONE
        return self._exchange.connector.left(upstream, self._named, self._drained(upstream))

    async def _take(self, step: Step, outcome: AttemptOutcome) -> ResponseHead:
        exchange, upstream = self._exchange, step.upstream
        self._leg = self._named = None
        host = self._named = self._host(upstream)
        self._refuse_drained(upstream, host)
        named, drained = authority(host, upstream.port_text), self._drained(upstream)
        outcome.target = exchange.record.target = named + self._target.partition("?")[0]
        parser = ResponseParser(exchange.head, exchange.rules.limits.head_bytes, protocol=self._protocol)
        leg = self._leg = await exchange.connector.connect(
            upstream, host, outcome, parser, purpose=self._purpose(step), avoid=drained, reusable=step.reusable
        )
        if not upstream.port:
            named = authority(host, leg.endpoint.port)
        try:
            answer = await self._handshake(leg, step, outcome, named)
            outcome.status = answer.status
            following = self._check(answer, step)
            if following is not None:
                await self._leave_for(following, answer.status)
        except BaseException:
            leg.close()
            raise
        return answer

    def _host(self, upstream: Upstream) -> str:
        return render_host(upstream.host, self._exchange.match.captures)

    def _purpose(self, step: Step) -> Purpose:
        if self._protocol is None:
            return Purpose.REQUEST
        mended = self._route.fallback is not None and not step.fallback and not self._plan.is_own(step.upstream)
        return Purpose.CALL_OR_FALLBACK if mended else Purpose.CALL

    # A drained pod gets no new call. Plain HTTP that names it still goes there: the calls that it has may need that.
    def _refuse_drained(self, upstream: Upstream, host: str) -> None:
        pods = self._exchange.context.drains.pods
        if pods and self._protocol is not None and pod_name(upstream, host) in pods:
            raise PodDraining(f"{pod_name(upstream, host)} is being drained")

    def _drained(self, upstream: Upstream) -> frozenset[tuple[str, int]]:
        if upstream.names_pod and self._protocol is None:
            return frozenset()
        return self._exchange.context.drains.endpoints

    async def _handshake(self, leg: PodLeg, step: Step, outcome: AttemptOutcome, named: str) -> ResponseHead:
        exchange = self._exchange
        started = trio.current_time()
        try:
            with Stage(
                exchange.connector, self._route.deadlines.handshake, HandshakeTimeout, lambda: leg.endpoint
            ) as scope:
                exchange.written = True
                exchange.context.yield_to_relay()
                await leg.send_all(
                    request_for_pod(
                        exchange.head,
                        self._target,
                        forwarding=exchange.forwarding,
                        protocol=self._protocol,
                        extra=exchange.granted + self._failed_pod() if step.fallback else exchange.granted,
                        authority=named,
                        close=exchange.own_connection or leg.private,
                        host=self._pod_host,
                        edits=self._edits,
                        trace=exchange.trace_fields(outcome.span),
                    )
                )
                if exchange.nursery is not None:
                    self._start_body(leg, exchange.nursery, scope)
                return await self._final_head(leg)
        finally:
            self._start_clock(scope)
            outcome.answered = now = trio.current_time()
            outcome.handshake += now - started

    def _failed_pod(self) -> Headers:
        first = self._plan.upstream
        failed = "" if self._plan.skip else pod_name(first, self._host(first))
        if failed and first.service is not None and not first.names_pod:
            attempts = reversed(self._exchange.record.attempts)
            failed = next((outcome.pod for outcome in attempts if outcome.pod), failed)
        return ((b"X-Splicer-Fallback-From", failed.encode()),)

    # An unwanted status is a failure only if another attempt follows: else the client gets that answer.
    def _check(self, answer: ResponseHead, step: Step) -> Step | None:
        """Check the answer; the step that should follow if its status is unwanted."""
        if answer.status == 101 and self._protocol is not None:
            verify_upgrade(self._exchange.head, answer, self._protocol)
        elif answer.status in self._route.fallback_on:
            return self._plan.after(step, UnwantedStatus(answer.status), self._progress(step))
        return None

    # The fallback may have no endpoint, and then the pod's answer is the best that the client can get.
    async def _leave_for(self, following: Step, status: int) -> None:
        if following.retries or await self._has_endpoint(following):
            raise UnwantedStatus(status)

    async def _has_endpoint(self, step: Step) -> bool:
        upstream = step.upstream
        try:
            host = self._host(upstream)
            self._refuse_drained(upstream, host)
        except (BadCapture, PodDraining):
            return False
        drained = self._drained(upstream)
        return await self._exchange.connector.could_connect(upstream, host, drained, self._purpose(step))

    # The pod can't be expected to answer before it has the whole request: its time starts when the body is sent.
    def _start_body(self, leg: PodLeg, nursery: trio.Nursery, handshake: Scope) -> None:
        self._body_began = trio.current_time()
        handshake.deadline = math.inf
        self._exchange.body.start(nursery, leg, lambda: self._start_clock(handshake))

    def _start_clock(self, handshake: Scope) -> None:
        if self._body_began is not None:
            now = trio.current_time()
            self._exchange.connector.budget.pause(now - self._body_began)
            self._body_began = None
            handshake.deadline = self._exchange.connector.budget.until(self._route.deadlines.handshake, now)

    async def _final_head(self, leg: PodLeg) -> ResponseHead:
        body, writer = self._exchange.body, self._exchange.writer
        while True:
            answer = await (self._head_in_time(leg) if body.is_withheld else leg.read_head())
            if answer.status >= 200 or answer.status == 101:
                return answer
            if answer.status != 100 or not self._said_100:
                await self._inform(writer.informational(answer.status, answer.reason, answer.headers))
            body.asked_for |= answer.status == 100
            await trio.lowlevel.checkpoint()

    # A client may wait for its 100 for ever, and a pod need not send it: RFC 9110 §10.1.1 leaves that to both. Before
    # the timeout, a pod can still refuse the body by its final answer.
    async def _head_in_time(self, leg: PodLeg) -> ResponseHead:
        body = self._exchange.body
        with trio.move_on_after(_CONTINUE_TIMEOUT):
            return await leg.read_head()
        if body.is_withheld:
            await self._inform(CONTINUE)
            body.asked_for = self._said_100 = True
        return await leg.read_head()

    async def _inform(self, interim: bytes) -> None:
        if interim:
            self._exchange.answered = True  # cut off in the middle: nothing else may follow it
            await self._exchange.client.send_all(interim)
            self._exchange.answered = False
