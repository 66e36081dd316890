"""Plain HTTP: streams one request to a pod, and the answer back."""

from __future__ import annotations

import math

import trio

from splicer.config.error_pages import ErrorPage
from splicer.errors import SplicerError
from splicer.http1.body import EndOfBody
from splicer.model import Headers, ResponseHead
from splicer.session.answer_time import AnswerTime
from splicer.session.attempt import Attempts
from splicer.session.authorize import authorize
from splicer.session.exchange import Exchange
from splicer.session.hooks import call_hooks
from splicer.session.respond import send_answer
from splicer.session.turns import Work
from splicer.upstream.pod import PodLeg

_SERVER_ERROR = 500  # and above: of these a pod's answer may get the file's body


async def forward(exchange: Exchange) -> bool:
    """Forward the request; return whether the client connection can serve another one.

    Raises:
        SplicerError: nothing was answered, or (`exchange.answered`) the answer broke off.
    """
    route = exchange.match.route
    if route.hooks:
        await call_hooks(exchange)
    if route.authorize is not None:
        await authorize(exchange, route.authorize)
    if route.deadlines.response == math.inf and not exchange.head.has_body:  # the attempts have deadlines of their own
        exchange.wait_in_line()
        return await _round_trip(exchange)
    time = AnswerTime(route.deadlines)
    with time.scope:
        time.runs = True
        if exchange.head.has_body:
            return await _with_body(exchange, time)
        return await _round_trip(exchange, time)
    raise time.error(exchange)


async def relay_in_time(exchange: Exchange, leg: PodLeg, answer: ResponseHead) -> bool:
    """Relay an answer that opens no tunnel; returns and raises as `forward`."""
    return await _relay_answer(exchange, leg, answer, AnswerTime(exchange.match.route.deadlines))


# An exception's traceback refers to the frames that it passed through. If such a frame keeps the exception, or the
# object that holds it, they form a cycle, and a full collection is rare.
async def _with_body(exchange: Exchange, time: AnswerTime) -> bool:
    outcome: bool | SplicerError | None = None
    try:
        async with trio.open_nursery() as nursery:
            exchange.nursery = nursery
            try:
                outcome = await _round_trip(exchange, time)
            except SplicerError as failure:
                outcome = failure
            nursery.cancel_scope.cancel()
        if isinstance(outcome, bool):
            return outcome
        outcome = exchange.body.fault or outcome
        assert outcome is not None  # noqa: S101 - nothing else cancels this nursery from within
        raise outcome
    finally:
        exchange.body.fault = outcome = None


async def _round_trip(exchange: Exchange, time: AnswerTime | None = None) -> bool:
    leg, answer = await Attempts(exchange).run()
    return await _relay_answer(exchange, leg, answer, time)


async def _relay_answer(exchange: Exchange, leg: PodLeg, answer: ResponseHead, time: AnswerTime | None) -> bool:
    """Relay a pod's ordinary answer; then, if the pod's connection is clean, keep it or have the pod close it.

    Args:
        exchange: the request.
        leg: the pod's connection.
        answer: the head of the answer.
        time: its deadlines; None if only those between its pieces are left, and no body is being sent.

    Returns:
        Whether the client connection can serve another request.
    """
    # After an answer that comes before the whole request was read, the framing of the client's next bytes is
    # uncertain; so it is after an answer to an upgrade, because the client may already speak the other protocol.
    plain = exchange.protocol is None
    exchange.body.answered = True
    if time is not None:
        exchange.body.progress = time.pod_took
    close = exchange.context.draining or exchange.context.retiring or not exchange.body.complete or not plain
    try:
        page = exchange.rules.errors.get(answer.status) if answer.status >= _SERVER_ERROR else None
        headers = answer.headers if page is None else _instead(answer, page)
        edits = exchange.answer_edits()
        head = exchange.writer.head(answer.status, answer.reason, headers, close=close, edits=edits)
        exchange.record.status = answer.status
        if page is not None:
            leg.close()
            await _send_page(exchange, page, head)
            return exchange.writer.persistent and not close
        await _relay_body(exchange, leg, head, time)
        if leg.parser.finished and exchange.body.delivered and plain:
            if leg.parser.reusable and not (exchange.own_connection or leg.private):
                exchange.context.pool.give(leg.endpoint, leg.stream, leg.proof)
            else:
                exchange.context.closing.add(leg.stream)
            return exchange.writer.persistent and not close
    except BaseException:
        leg.close()
        raise
    leg.close()
    return exchange.writer.persistent and not close


# What else the pod's head says is of the body that the client does not get.
def _instead(answer: ResponseHead, page: ErrorPage) -> Headers:
    own = ((b"Content-Type", page.content_type.encode()), (b"Content-Length", b"%d" % len(page.body)))
    return own + tuple((b"Retry-After", value) for value in answer.values(b"retry-after"))


async def _send_page(exchange: Exchange, page: ErrorPage, out: bytes) -> None:
    if exchange.head.method != "HEAD":
        out += exchange.writer.body(page.body)
        exchange.record.to_client = len(page.body)
    out += exchange.writer.end()
    exchange.answered = True
    await send_answer(exchange.client, out)


# Most answers are short, and come with their head: these need no deadline, and opening one takes as long as sending.
async def _relay_body(exchange: Exchange, leg: PodLeg, out: bytes, time: AnswerTime | None) -> None:
    if leg.parser.has_all:
        out = exchange.client.send_now(_whole(exchange, leg, out))
        if not out:
            return
    time = time or AnswerTime(exchange.match.route.deadlines)
    exchange.connector.scope = time.scope
    if time.runs:
        await _relay_pieces(exchange, leg, out, time)
        return
    with time.scope:
        await _relay_pieces(exchange, leg, out, time)
        return
    raise time.error(exchange)


def _whole(exchange: Exchange, leg: PodLeg, out: bytes) -> bytes:
    while not isinstance(chunk := leg.parser.next_body(), EndOfBody):
        assert chunk is not None  # noqa: S101 - the caller knows that all of it is there
        out += exchange.writer.body(chunk)
        exchange.record.to_client += len(chunk)
    out += exchange.writer.end(chunk.trailers)
    exchange.answered = True
    return out


async def _relay_pieces(exchange: Exchange, leg: PodLeg, out: bytes, time: AnswerTime) -> None:
    writer, client, record = exchange.writer, exchange.client, exchange.record
    turns = exchange.context.turns
    while True:
        chunk = leg.parser.next_body()
        if isinstance(chunk, EndOfBody):
            out += writer.end(chunk.trailers)
            break
        if chunk is not None:
            out += writer.body(chunk)
            record.to_client += len(chunk)
        if out and not leg.parser.complete:  # the end goes with the last piece
            exchange.answered = True
            time.awaits_client()
            await client.send_all(out)
            out = b""
            await trio.lowlevel.checkpoint()
            if turns.busy(Work.BODY):
                await turns.wait(Work.BODY)
        if chunk is None:
            time.awaits_pod()
            await leg.read_more()
    exchange.answered = True
    time.awaits_client()
    await client.send_all(out)
