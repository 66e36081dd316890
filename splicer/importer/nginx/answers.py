"""`return`, `stub_status` and `error_page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splicer.importer.draft import Named
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import Variable, as_value

_REDIRECTS = ("301", "302", "303", "307", "308")
_PLAIN = "text/plain"  # nginx's own default_type
_OWN_PAGE = "nginx's own HTML page is not copied; write a body"


def answer(context: Context, place: Place, statement: Statement) -> None:
    """A `return`, as `respond` or `redirect`."""
    code, text = _taken_apart(statement)
    parts = place.parts(text)
    if code in _REDIRECTS and text:
        _redirect(context, place, statement, code)
        return
    if not code.isdecimal() or any(isinstance(part, Variable) for part in parts):
        context.ledger.lost(statement, "a body has no variables; write a fixed one, or have a pod answer")
        place.route.closed.append("its answer has variables")
        return
    if code == "444":
        context.ledger.differs(statement, "the client gets 403; nginx closes without an answer")
        code = "403"
    elif not text and int(code) >= 400:
        context.ledger.differs(statement, _OWN_PAGE)
    respond(context, place, int(code), "".join(map(str, parts)), statement)


def _taken_apart(statement: Statement) -> tuple[str, str]:
    match statement.args:
        case (url,) if not url.isdecimal():
            return "302", url
        case (code,):
            return code, ""
        case (code, text, *_):
            return code, text
    return "", ""


def respond(context: Context, place: Place, status: int, body: str, *sources: Statement) -> None:
    """A fixed answer.

    Args:
        context: gets the verdicts.
        place: the location.
        status: its status.
        body: its text.
        sources: the directives that say so.
    """
    place.route.put(("respond", "status"), status, *sources)
    if body:
        place.route.put(("respond", "body"), body, *sources)
        kind = place.scope.last("default_type")
        value = kind.first if kind is not None else _PLAIN
        place.route.put(("respond", "content_type"), value, *([kind] if kind is not None else []))


def _redirect(context: Context, place: Place, statement: Statement, code: str) -> None:
    to = as_value(place.parts(statement.args[-1]), place.captures)
    if to is None:
        context.ledger.lost(statement, "there is no counterpart of its variables in a redirect")
        place.route.closed.append("its redirect has variables without a counterpart")
        return
    place.route.put("redirect", {"to": to, "status": int(code)}, statement)
    names = [str(part) for part in place.known.get("server_names", [])]
    if "{host}" in to and place.route.get("hosts") is None and names:
        place.route.put("hosts", names)
        context.ledger.differs(statement, "only for the server's own names: no other Host may choose where it leads")


def error_pages(context: Context, place: Place, named: Mapping[str, Statement], exact: Mapping[str, Statement]) -> None:
    """The `error_page` directives that are neither a fallback nor handled yet.

    Args:
        context: gets ``[[errors]]``.
        place: the location.
        named: the server's named locations.
        exact: its exact ones, by path.
    """
    for page in place.scope.all("error_page"):
        codes, uri = codes_of(page)
        location = named.get(uri) or exact.get(uri)
        answers = [each for each in (location.block or ()) if each.name == "return"] if location else []
        if is_fallback(page, named) or context.ledger.is_marked(page):
            continue
        if (
            location is None
            or not answers
            or any(isinstance(part, Variable) for part in place.parts(_text(answers[0])))
        ):
            context.ledger.lost(page, f"write [[errors]] with status = {codes} and the body of {uri}")
            continue
        _page(context, place, page, codes, location)
        context.ledger.mark(location, Verdict.CARRIED)


def _text(statement: Statement) -> str:
    return _taken_apart(statement)[1]


def _page(context: Context, place: Place, page: Statement, codes: Sequence[int], location: Statement) -> None:
    scope = Scope(location.block or (), place.scope)
    [answer] = scope.own("return")[:1]
    taken = {code for other in context.draft.errors for code in other.get("status")}
    fresh = [code for code in codes if code not in taken and 400 <= code <= 599]
    if len(fresh) < len(codes):
        context.ledger.lost(page, "a status has one body, in the whole file")
    if not fresh:
        return
    table = Named(origin=page.place)
    table.put("status", fresh, page)
    table.put("body", "".join(map(str, place.parts(_text(answer)))), answer)
    named = [field for field in scope.own("add_header") if field.first.lower() == "content-type"]
    kind = scope.last("default_type")
    value = named[0].args[1] if named else _PLAIN if kind is None else kind.first
    table.put("content_type", value, *(named or ([] if kind is None else [kind])))
    context.draft.errors.append(table)
    if place.scope.last("auth_request") is not None:
        context.ledger.differs(page, "an authorizer's own answer is passed on as it is")
    if not place.scope.is_on("proxy_intercept_errors"):
        context.ledger.differs(page, "a pod's answer of such a status, 500 or more, gets the body too")
    context.ledger.differs(answer, "every route's answers of these statuses get it, and keep their status")


def codes_of(page: Statement) -> tuple[list[int], str]:
    """The statuses of an `error_page`, and where it leads."""
    *codes, uri = page.args
    return [int(code) for code in codes if code.isdecimal()], uri


def is_fallback(page: Statement, named: Mapping[str, Statement]) -> bool:
    """Whether an `error_page` asks another pod."""
    location = named.get(page.args[-1])
    return location is not None and any(each.name == "proxy_pass" for each in location.block or ())
