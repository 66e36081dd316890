"""`error_page … = @name` with another pod, as `fallback`."""

from __future__ import annotations

from collections.abc import Mapping

from splicer.importer.draft import RouteDraft, upstreams_of
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.answers import codes_of, is_fallback
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.deadlines import connect_timeout
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.proxy import lead, path_for_pod, target_of
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement

_ITS_OWN = "the fallback has the headers, the path and the deadlines of its route"
_SAME = ("rewrite", "strip_prefix")


def fallback(
    context: Context, place: Place, named: Mapping[str, Statement], server: Scope
) -> tuple[float, Statement | None] | None:
    """Set a route's `fallback` and `fallback_on`.

    Args:
        context: gets the fallback's upstream.
        place: the location.
        named: the server's named locations.
        server: what holds around them.

    Returns:
        The fallback's connect timeout in seconds, with its directive; None without a fallback.
    """
    pages = [page for page in place.scope.all("error_page") if is_fallback(page, named)]
    for page in pages[1:]:
        context.ledger.lost(page, "a route has one fallback")
    if not pages:
        return None
    page = pages[0]
    codes, uri = codes_of(page)
    location = named[uri]
    inner = Place(location, Scope(location.block or (), server), RouteDraft(), place.prefix, place.regex)
    inner.captures = place.captures
    inner.known = dict(place.known)
    inner.learn({})
    if not _leads(context, place, inner, page):
        return None
    _statuses(context, place, page, codes)
    _rest(context, place, inner)
    return connect_timeout(inner)


def _leads(context: Context, place: Place, inner: Place, page: Statement) -> bool:
    statement = next(each for each in inner.statement.block or () if each.name == "proxy_pass")
    target = target_of(inner, statement)
    if target is None:
        context.ledger.lost(page, f"{statement.text} is no HTTP URL")
        return False
    for key in ("path", "prefix", "regex"):
        if (value := place.route.get(key)) is not None:
            inner.route.put(key, value)
    lead(context, inner, target, inner.route)
    path_for_pod(context, inner, target, inner.route)
    found = next(upstreams_of(inner.route), None)
    if found is None:
        context.ledger.lost(page, "where it leads could not be imported")
        return False
    if any(inner.route.get(key) != place.route.get(key) for key in _SAME):
        context.ledger.differs(statement, "the fallback gets the same path as the upstream")
    place.route.put("fallback", found, page, statement, inner.statement, *inner.steps)
    return True


def _statuses(context: Context, place: Place, page: Statement, codes: list[int]) -> None:
    kept = [code for code in codes if 500 <= code <= 599]
    if len(kept) < len(codes):
        context.ledger.lost(page, "a 4xx never falls back: it is the client's fault")
    intercepts = place.scope.last("proxy_intercept_errors")
    if intercepts is not None and intercepts.first == "on":
        place.route.put("fallback_on", kept, page, intercepts)
    else:
        place.route.put("fallback_on", [], page)
    if "=" not in page.args:
        context.ledger.differs(page, "the client gets the fallback's own status")
    context.ledger.notice(
        "A fallback gets a request again only if its method is idempotent or no byte of it was sent: a POST is never "
        "sent twice. nginx sends any request to a named location."
    )


def _rest(context: Context, place: Place, inner: Place) -> None:
    """The other directives of the named location."""
    outer = {each.text for each in place.scope.statements}
    for each in inner.statement.block or ():
        if each.name in ("proxy_pass", "set") or context.ledger.is_marked(each):
            continue
        if each.text in outer:
            context.ledger.mark(each, Verdict.DEFAULT, _ITS_OWN)
        elif each.name.startswith("proxy_"):
            context.ledger.differs(each, _ITS_OWN)
