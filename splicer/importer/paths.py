"""What the pod gets as its path."""

from __future__ import annotations

from splicer.importer.directive import Directive
from splicer.importer.draft import RouteDraft
from splicer.importer.regex import literal


def replace_prefix(route: RouteDraft, path: str, *sources: Directive) -> None:
    """Have the pod get another beginning of the path; the rest stays.

    Args:
        route: with a `path`, a `prefix`, or a `regex` for whole paths.
        path: what replaces it.
        sources: the directives that say so.
    """
    prefix = route.get("prefix")
    if path in (prefix, route.get("path")):
        return
    if prefix is not None and path == "/" and prefix.endswith("/"):
        route.put("strip_prefix", True, *sources)
        return
    route.put("rewrite", f"{escaped(path)}{rest_of(route)}", *sources)


def rest_of(route: RouteDraft) -> str:
    """What follows a route's prefix, as a capture: the prefix becomes a regex for that. A whole path has no rest."""
    prefix = route.get("prefix")
    if prefix is None:
        return ""
    sources = route.drop(("prefix",))
    route.put("regex", f"^{literal(prefix)}(?<rest>.*)$", *sources)
    return "{rest}"


def escaped(text: str) -> str:
    """Literal text in a template."""
    return text.replace("{", "{{").replace("}", "}}")
