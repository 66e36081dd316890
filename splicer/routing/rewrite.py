"""The request target that is sent to the pod."""

from __future__ import annotations

from splicer.errors import BadRequest
from splicer.model import Match
from splicer.routing.normal import cut_out


def target_path(match: Match, path: str, query: str | None) -> str:
    """The target for the pod; percent-encoding is left as it is.

    Invariant: the client's query is kept unless the rewrite has one of its own.

    Args:
        match: the result of `RouteTable.match`.
        path: the request's, as received.
        query: the text after the "?", or None without one.

    Raises:
        BadRequest: the rewrite has made a dot segment: "/files../x" without the prefix "/files" would lead out of the
            tree that the route is meant to show.
    """
    route = match.route
    if route.rewrite is not None:
        target = route.rewrite.render(match.captures)
        if "?" in route.rewrite.text:
            query = None
    elif route.strip_prefix is not None:
        target = path.removeprefix(cut_out(path, {"prefix": (0, len(route.strip_prefix))})["prefix"])
    else:
        return path if query is None else f"{path}?{query}"
    if not target.startswith("/"):
        target = f"/{target}"
    if climbs(target):
        raise BadRequest(f"dot segment in the rewritten path {target}")
    return target if query is None else f"{target}?{query}"


def climbs(target: str) -> bool:
    """Whether the path of a target has a dot segment, with %2e and %2f decoded."""
    if "/." not in target and "%" not in target:  # as nearly always
        return False
    path = target.partition("?")[0].lower().replace("%2f", "/").replace("%2e", ".") + "/"
    return "/./" in path or "/../" in path
