"""Asking a route's authorizer, before the first attempt.

Invariant: what an authorizer says chooses among the pods of a template, adds fields that the route names, or refuses
the request; and whatever it does, the request goes on or ends within `deadlines.authorize`.
"""

from __future__ import annotations

import math

import trio

from splicer.authorization import Authorize, AuthorizeDenied, AuthorizeFailed, AuthorizeOutcome, AuthorizeTimeout
from splicer.edits import same_field
from splicer.edits import without as without_fields
from splicer.errors import AttemptsTimeout, BadCapture, NoDescriptor, PodError, SplicerError
from splicer.http1.body import EndOfBody
from splicer.http1.question import chosen, question, request_for_authorizer, without
from splicer.http1.response import ResponseParser
from splicer.model import Match, ResponseHead, Upstream, authority
from splicer.policy.deadlines import AttemptBudget
from splicer.record import AttemptOutcome
from splicer.routing.template import check_label, render_host
from splicer.session.exchange import Exchange
from splicer.session.tracing import new_span_id
from splicer.upstream.client import Connector
from splicer.upstream.outcomes import report_answer, report_failure
from splicer.upstream.pod import PodLeg
from splicer.upstream.stage import Stage

_MOST_BODY = 64 * 1024  # bytes of a refusal's body
_REFUSALS = frozenset((*range(300, 400), 401, 403, 404, 429))


async def authorize(exchange: Exchange, rule: Authorize[Upstream]) -> None:
    """Ask whether the request may go on; return if it may.

    The answer's captures are then the request's, and its headers go to the pod.

    Raises:
        AuthorizeDenied: the authorizer refuses it.
        AuthorizeFailed: there is no usable answer, and `on_failure` is "refuse".
        ClientGone: the client left.
    """
    started = trio.current_time()
    outcome = exchange.record.authorize = AuthorizeOutcome(started=started, upstream=rule.upstream.name)
    if exchange.record.trace is not None:
        outcome.span = new_span_id()
    try:
        answer = await _answer_in_time(exchange, rule, outcome)
        exchange.match = _with_captures(exchange.match, rule, answer)
    except SplicerError as error:
        outcome.failure, outcome.detail = error.reason, error.detail
        if rule.on_failure == "refuse" or not isinstance(error, AuthorizeFailed):
            raise
        exchange.to_fallback = rule.on_failure == "fallback"
    else:
        outcome.failure = None
        replaced = frozenset(same_field(name.encode()) for name in rule.headers)
        exchange.granted = (*without_fields(exchange.granted, replaced), *chosen(answer.headers, rule.headers))
    finally:
        outcome.seconds = trio.current_time() - started
    exchange.head = without(exchange.head, rule.headers)


# The connector of the attempts waits meanwhile: a client that leaves ends the question, whose time is no attempt's.
async def _answer_in_time(exchange: Exchange, rule: Authorize[Upstream], outcome: AuthorizeOutcome) -> ResponseHead:
    now, deadlines, upstream = trio.current_time(), exchange.match.route.deadlines, rule.upstream
    attempt = AttemptOutcome(upstream.name, failure="abandoned", started=now)
    budget = AttemptBudget(deadlines, now + deadlines.authorize)
    later, exchange.connector = exchange.connector, exchange.connector_with(budget)
    try:
        return await _put(exchange, rule, attempt, outcome)
    except (PodError, NoDescriptor) as failure:
        attempt.failure, attempt.detail = failure.reason, failure.detail
        late = isinstance(failure, AttemptsTimeout)
        detail = f"no answer within {deadlines.authorize:g} s" if late else failure.detail
        error = AuthorizeTimeout if failure.status == AuthorizeTimeout.status else AuthorizeFailed
        raise error(f"{upstream.name}: {detail}") from failure
    finally:
        exchange.connector.release()
        later.gone |= exchange.connector.gone
        later.budget.pause(trio.current_time() - now)
        exchange.connector = later
        outcome.endpoint = attempt.endpoint
        exchange.context.report(attempt)


# The question has a connection of its own: on one that was idle it could be lost, and to place a call is nothing that
# may be asked twice. The authorizer closes it, as pods do (`upstream.closing`).
async def _put(
    exchange: Exchange, rule: Authorize[Upstream], attempt: AttemptOutcome, outcome: AuthorizeOutcome
) -> ResponseHead:
    context, connector, upstream = exchange.context, exchange.connector, rule.upstream
    host = upstream.host.render({})
    asked = question(exchange.head, rule.path, rule.send)
    outcome.target = authority(host, upstream.port_text) + rule.path.partition("?")[0]
    trace = exchange.trace_fields(outcome.span)
    parser = ResponseParser(asked, exchange.rules.limits.head_bytes)
    leg = await connector.connect(upstream, host, attempt, parser, avoid=context.drains.endpoints)
    named = authority(host, upstream.port or leg.endpoint.port)
    try:
        raw = request_for_authorizer(exchange.head, asked, rule.path, exchange.forwarding, named, trace)
        with Stage(connector, math.inf, AttemptsTimeout, lambda: leg.endpoint):
            context.yield_to_relay()
            await leg.send_all(raw)
            answer = await leg.read_head()
            while answer.status < 200:
                answer = await leg.read_head()
    except SplicerError as failure:
        report_failure(context.outcomes, upstream, leg, failure)
        leg.close()
        raise
    except BaseException:
        leg.close()
        raise
    outcome.status, attempt.failure = answer.status, None
    report_answer(context.outcomes, upstream, leg.endpoint, answer.status)
    try:
        await _check(upstream.name, answer, leg, connector)
    finally:
        context.closing.add(leg.stream)
    return answer


async def _check(name: str, answer: ResponseHead, leg: PodLeg, connector: Connector) -> None:
    if answer.status in _REFUSALS:
        raise AuthorizeDenied(answer.status, answer.reason, answer.headers, await _body(leg, connector))
    if not 200 <= answer.status <= 299:
        raise AuthorizeFailed(f"{name}: {leg.endpoint} answered {answer.status}")


# The head has refused the request: a body that fails must not turn the refusal into a failure, which may let it pass.
async def _body(leg: PodLeg, connector: Connector) -> bytes | None:
    body = bytearray()
    try:
        with Stage(connector, math.inf, AttemptsTimeout, lambda: leg.endpoint):
            while len(body) <= _MOST_BODY:
                piece = leg.parser.next_body()
                if isinstance(piece, EndOfBody):
                    return bytes(body)
                if piece is None:
                    await leg.read_more()
                    await trio.lowlevel.checkpoint()
                else:
                    body += piece
    except PodError:
        return None
    return None


def _with_captures(match: Match, rule: Authorize[Upstream], answer: ResponseHead) -> Match:
    if not rule.captures:
        return match
    captures = dict(match.captures)
    for name, header in rule.captures:
        values = answer.values(header.lower().encode())
        if len(values) != 1:
            raise AuthorizeFailed(f"{rule.upstream.name}: {len(values)} fields {header} in the answer")
        captures[name] = value = values[0].decode("latin-1")
        if not check_label(value):
            raise AuthorizeFailed(f"{rule.upstream.name}: {header} is no DNS label: {value[:100]!r}")
    for upstream in match.route.upstreams:
        if upstream.host.captures & rule.names:
            try:
                render_host(upstream.host, captures)
            except BadCapture as fault:
                raise AuthorizeFailed(f"{rule.upstream.name}: {fault.detail}") from fault
    return Match(match.route, captures)
