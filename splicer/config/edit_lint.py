"""Warnings about redirects and header edits that are valid and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator

from splicer.config.scalars import show
from splicer.config.schema import Config
from splicer.model import Route

_SAME_URL = "://{host}{target}"
_OTHER = {"http": "https", "https": "http"}


def edit_warnings(config: Config) -> Iterator[str]:
    """One line for each warning, with its route and key."""
    for route in config.routes:
        place = f"routes {route.index} {show(route.name)}"
        if (reason := _leads_back(route)) is not None:
            yield f"{place}: redirect.to: {reason}"
        if not config.server.trusted_proxies and (name := _only_by_https(route)) is not None:
            yield (
                f"{place}: response_headers.{name}: is never sent: without server.trusted_proxies every request counts "
                "as plain HTTP"
            )


def _leads_back(route: Route) -> str | None:
    if route.redirect is None or not route.redirect.to.text.endswith(_SAME_URL):
        return None
    scheme = route.redirect.to.text.removesuffix(_SAME_URL)
    if scheme == "{scheme}":
        return "leads every request back to its own URL"
    other = _OTHER.get(scheme)
    if other is None or route.scheme == other:
        return None
    return f'leads a request that came by {scheme} back to its own URL; write scheme = "{other}"'


def _only_by_https(route: Route) -> str | None:
    edits = route.edits and route.edits.response
    names = (name.decode() for name, value in edits.entries if value is not None) if edits else ()
    return next((name for name in names if name.lower() == "strict-transport-security"), None)
