"""Calling a route's hooks, before its authorizer is asked and before the first attempt.

Invariant: what a hook decides chooses among the file's upstreams and, in them, among the pods of a template; adds
fields that the edge doesn't write itself; or answers the request. Whatever foreign code raises or returns ends at most
this request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import trio
from attrs import evolve, frozen

from splicer.edits import same_field
from splicer.edits import without as without_fields
from splicer.errors import ClientGone
from splicer.hook_settings import HookAnswered, HookFailed, HookOutcome, HookSettings
from splicer.hooks import Answer, Continue, Request
from splicer.http1.headers import is_asserted
from splicer.http1.question import is_sent, without
from splicer.model import Headers, Match, Upstream
from splicer.routing.template import check_label
from splicer.session.exchange import Exchange
from splicer.session.hook_time import BLOCKING_SECONDS, Timed

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
_NO_VALUE = re.compile(r"[^\t -~\x80-\xff]")
_LOG_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MOST_LOG_FIELDS, _LONGEST_LOG_TEXT = 8, 200
_MOST_BODY = 1024 * 1024
_LONGEST_REASON = 200
_OWN_FIELDS = frozenset((b"content-type", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"date"))


class _Impossible(Exception):
    """A decision that can't be carried out."""


@frozen
class _Ending:
    """How a call of a hook went.

    Args:
        outcome: in one word.
        reason: why it failed; None: it has not.
        answer: for the client; None: the request goes on, if the hook has not failed.
    """

    outcome: HookOutcome
    reason: str | None = None
    answer: Answer | None = None


async def call_hooks(exchange: Exchange) -> None:
    """Have the route's hooks decide, in their order; return if the request may go on.

    Raises:
        HookAnswered: a hook has an answer for the client.
        HookFailed: a hook has failed, and its `on_failure` is "refuse".
        ClientGone: the client left.
    """
    began = trio.current_time()
    with exchange.rules.hooks:
        for settings in exchange.match.route.hooks:
            await _call(exchange, settings)
            if exchange.connector.gone:
                raise ClientGone("closed while a hook decided")
    exchange.connector.budget.pause(trio.current_time() - began)


async def _call(exchange: Exchange, settings: HookSettings) -> None:
    hook, observer = exchange.rules.hooks[settings.name], exchange.context.observer
    if hook.on_request is None:
        return
    began, request, decide = trio.current_time(), _request(exchange), hook.on_request
    timed = Timed(lambda: decide(request))
    ending = await _decided(exchange, settings, timed)
    observer.hook_called(exchange.record, settings.name, ending.outcome, trio.current_time() - began, ending.reason)
    if timed.longest > BLOCKING_SECONDS:
        observer.hook_blocked(settings.name, timed.longest)
    if ending.answer is not None:
        raise HookAnswered(settings.name, ending.answer)
    if ending.reason is not None and settings.on_failure == "refuse":
        raise HookFailed(f"{settings.name}: {ending.reason}")


async def _decided(exchange: Exchange, settings: HookSettings, timed: Timed[object]) -> _Ending:
    """Wait for a hook's decision, and carry it out."""
    decision: object = None
    try:
        with trio.move_on_after(settings.deadline) as scope:
            decision = await timed
        if scope.cancelled_caught:
            return _Ending("deadline", f"no decision within {settings.deadline:g} s")
        answer = _carry_out(exchange, settings, decision)
    except _Impossible as wrong:
        return _Ending("failed", str(wrong)[:_LONGEST_REASON])
    except BaseException as error:
        if _is_cancelled(error):
            raise
        return _Ending("failed", f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
    return _Ending("continued") if answer is None else _Ending("answered", answer=answer)


def _is_cancelled(error: BaseException) -> bool:
    """Whether the session itself is being ended, alone or among what foreign tasks have raised."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


def _request(exchange: Exchange) -> Request:
    head, record, origin = exchange.head, exchange.record, exchange.forwarding
    return Request(
        id=record.id,
        method=head.method,
        scheme=origin.proto,
        host=head.host,
        path=head.path,
        query=head.query,
        headers=head.headers,
        client=origin.client,
        route=exchange.match.route.name,
        captures=exchange.match.captures,
        protocol=exchange.protocol,
    )


def _carry_out(exchange: Exchange, settings: HookSettings, decision: object) -> Answer | None:
    """Apply a decision to the exchange, wholly or not at all; or return a checked answer for the client."""
    if isinstance(decision, Answer):
        _check_answer(decision)
        return decision
    if decision is None:
        decision = Continue()
    if not isinstance(decision, Continue):
        raise _Impossible(f"returned {type(decision).__name__}, which is no Answer, Continue or None")
    names, added = _edits(decision)
    upstream = _upstream(exchange, decision.upstream)
    match = _with_captures(exchange.match, settings, decision.captures, upstream)
    log = _log_fields(decision.log)
    exchange.match, exchange.chosen = match, upstream
    if names:
        exchange.head = without(exchange.head, names)
        gone = frozenset(same_field(name.encode("ascii")) for name in names)
        exchange.granted = (*without_fields(exchange.granted, gone), *added)
    exchange.record.hook_fields += log
    return None


def _check_answer(answer: Answer) -> None:
    if type(answer.status) is not int or not 200 <= answer.status <= 599:
        raise _Impossible(f"the status {answer.status!r} is not between 200 and 599")
    if not isinstance(answer.body, bytes) or len(answer.body) > _MOST_BODY:
        raise _Impossible(f"a body is bytes, {_MOST_BODY} at most")
    if not isinstance(answer.content_type, str) or _NO_VALUE.search(answer.content_type):
        raise _Impossible(f"{answer.content_type!r} is no Content-Type")
    for name, value in answer.headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise _Impossible("an answer's headers are pairs of bytes")
        _check_field(name.decode("latin-1"), value.decode("latin-1"))
        if name.lower() in _OWN_FIELDS:
            raise _Impossible(f"an answer's {name.decode()} is the edge's")


def _edits(decision: Continue) -> tuple[tuple[str, ...], Headers]:
    """The names of the fields to remove or replace, and the fields to add."""
    if not isinstance(decision.set_headers, Mapping) or isinstance(decision.remove_headers, str | bytes):
        raise _Impossible("set_headers is a mapping, remove_headers a sequence of names")
    names = (*decision.remove_headers, *decision.set_headers)
    for name in names:
        _check_field(name, decision.set_headers.get(name, ""))
        if is_asserted(name.encode("ascii")) or not is_sent(name):
            raise _Impossible(f"{name} is the edge's, or the client connection's")
    added = tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in decision.set_headers.items())
    return names, added


def _check_field(name: object, value: object) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise _Impossible(f"{name!r} is no header name")
    if not isinstance(value, str) or _NO_VALUE.search(value):
        raise _Impossible(f"the value of {name} is no text without control characters")


def _upstream(exchange: Exchange, name: str | None) -> Upstream | None:
    if name is None:
        return exchange.chosen
    upstream = exchange.rules.hooks.upstreams.get(name) if isinstance(name, str) else None
    if upstream is None:
        raise _Impossible(f"{name!r} is no upstream of the file")
    return upstream


def _with_captures(match: Match, settings: HookSettings, given: Mapping[str, str], chosen: Upstream | None) -> Match:
    if not isinstance(given, Mapping):
        raise _Impossible("captures are a mapping")
    known = match.captures.keys() | settings.captures
    for name, value in given.items():
        if name not in known:
            raise _Impossible(f"{name!r} is a capture neither of the route nor of the hook's `captures`")
        if not isinstance(value, str) or not check_label(value):
            raise _Impossible(f"the capture {name} is no DNS label: {value!r}")
    if missing := [name for name in settings.captures if name not in given]:
        raise _Impossible(f"it has not given the capture {missing[0]}")
    captures = {**match.captures, **given}
    if chosen is not None and (unknown := sorted(chosen.host.captures - captures.keys())):
        raise _Impossible(f"the upstream {chosen.name} needs {{{unknown[0]}}}, which is not known")
    return evolve(match, captures=captures)


def _log_fields(given: Mapping[str, object]) -> tuple[tuple[str, str | int | float | bool], ...]:
    if not isinstance(given, Mapping) or len(given) > _MOST_LOG_FIELDS:
        raise _Impossible(f"log is a mapping of at most {_MOST_LOG_FIELDS} fields")
    fields: list[tuple[str, str | int | float | bool]] = []
    for name, value in given.items():
        if not isinstance(name, str) or not _LOG_KEY.fullmatch(name):
            raise _Impossible(f"{name!r} is no name of a log field: a small letter, then letters, digits and _")
        if isinstance(value, str):
            fields.append((name, value[:_LONGEST_LOG_TEXT]))
        elif isinstance(value, bool | int | float) and -(2.0**63) < value < 2.0**63:  # nor NaN
            fields.append((name, value))
        else:
            raise _Impossible(f"the log field {name} is no string, boolean or number of 64 bits")
    return tuple(fields)
