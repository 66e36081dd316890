"""Answers without a pod: `respond` routes, the status page, and refusals."""

from __future__ import annotations

from http import HTTPStatus

import trio

from splicer.authorization import AuthorizeDenied
from splicer.config.error_pages import ErrorPage, ErrorPages
from splicer.edits import FieldEdits
from splicer.errors import BadWebSocketVersion, ClientGone, MethodNotAllowed, SplicerError, UpgradeRequired
from splicer.hook_settings import HookAnswered
from splicer.http1.forwarded import Forwarding
from splicer.http1.writer import relayed_response, simple_response
from splicer.limit_errors import RateLimited
from splicer.model import Header, Headers, Match, RequestHead, Respond, StatusPage
from splicer.session.client import ClientLeg
from splicer.session.context import SessionContext, StubStatus
from splicer.session.edits import facts_of

_SEND_SECONDS = 5.0
_RETRY_AFTER = b"1"  # seconds: soon the pod has restarted, or another replica is ready
_PLAIN = "text/plain; charset=utf-8"


def own_answer(context: SessionContext, match: Match, head: RequestHead, origin: Forwarding) -> Respond:
    """The answer of a route without an upstream.

    Raises:
        BadRequest: it is a redirect to the request's Host, and that is nothing to lead to.
    """
    route = match.route
    if route.redirect is not None:
        location = route.redirect.to.render(facts_of(match, head, origin)).encode("latin-1")
        status = route.redirect.status
        return Respond(status, _text(status), _PLAIN, ((b"Location", location),))
    assert route.respond is not None  # noqa: S101 - a route has exactly one of these answers
    return answer_of(
        route.respond,
        context.counts + context.others(),
        draining=context.draining,
        protected=context.vault is None or context.vault.connected,
    )


def answer_of(respond: Respond | StatusPage, counts: StubStatus, *, draining: bool, protected: bool) -> Respond:
    """The current answer of a `respond` route.

    Args:
        respond: the route's `respond`.
        counts: the numbers for the status page.
        draining: whether new work is refused.
        protected: whether calls outlive their worker.
    """
    if respond is StatusPage.STUB_STATUS:
        return Respond(200, stub_status(counts).encode(), "text/plain")
    assert isinstance(respond, Respond)  # noqa: S101 - the enumeration has one member
    if draining and respond.draining is not None:
        return respond.draining
    return respond if protected or respond.unprotected is None else respond.unprotected


def _text(status: int) -> bytes:
    return f"{status} {HTTPStatus(status).phrase}\n".encode()


def stub_status(counts: StubStatus) -> str:
    """The stub_status page, byte for byte as nginx's (ngx_http_stub_status_module)."""
    return (
        f"Active connections: {counts.active} \n"
        "server accepts handled requests\n"
        f" {counts.accepted} {counts.handled} {counts.requests} \n"
        f"Reading: {counts.reading} Writing: {counts.writing} Waiting: {counts.waiting} \n"
    )


def refusal(
    error: SplicerError,
    status: int,
    page: ErrorPage | None = None,
    *,
    head_only: bool = False,
    close: bool = True,
    edits: FieldEdits | None = None,
) -> bytes:
    """The complete response for an error.

    Args:
        error: the error; its text is for the log, the client gets only the status, or an authorizer's or hook's answer.
        status: the HTTP status.
        page: the body that the file has for this status; None: the default.
        head_only: whether the request was a HEAD.
        close: whether the connection ends after it.
        edits: the changes that the route makes to its answers.
    """
    if isinstance(error, AuthorizeDenied):
        return relayed_response(
            error.status, error.phrase, error.headers, error.body, head_only=head_only, close=close, edits=edits
        )
    if isinstance(error, HookAnswered):
        answer = error.answer
        return simple_response(
            answer.status,
            answer.body,
            answer.content_type,
            tuple(answer.headers),
            head_only=head_only,
            close=close,
            edits=edits,
        )
    body, kind = (_text(status), _PLAIN) if page is None else (page.body, page.content_type)
    fields = _fields(error, status)
    return simple_response(status, body, kind, fields, head_only=head_only, close=close, edits=edits)


def _fields(error: SplicerError, status: int) -> Headers:
    fields: list[Header] = []
    if isinstance(error, MethodNotAllowed):
        fields.append((b"Allow", ", ".join(error.allow).encode()))
    if isinstance(error, BadWebSocketVersion):
        fields += [(b"Sec-WebSocket-Version", b"13"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    if isinstance(error, UpgradeRequired):
        fields += [(b"Connection", b"Upgrade"), (b"Upgrade", ", ".join(error.protocols).encode())]
    if isinstance(error, RateLimited):
        fields.append((b"Retry-After", b"%d" % error.retry_after))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        fields.append((b"Retry-After", _RETRY_AFTER))
    return tuple(fields)


async def send_answer(client: ClientLeg, data: bytes) -> None:
    """Send an answer of the proxy's own to a client that may not be reading.

    Raises:
        ClientGone: the client is gone, or has not taken the answer within `_SEND_SECONDS`.
    """
    with trio.move_on_after(_SEND_SECONDS):
        await client.send_all(data)
        return
    raise ClientGone("does not read its answer")


async def send_refusal(
    client: ClientLeg, error: SplicerError, pages: ErrorPages, edits: FieldEdits | None = None
) -> None:
    """Send a refusal if the client still reads; the caller then closes the connection."""
    try:
        await send_answer(client, refusal(error, error.status, pages.get(error.status), edits=edits))
    except ClientGone:
        return
