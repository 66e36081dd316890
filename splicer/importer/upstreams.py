"""Upstreams of a draft: one for each address that the source names."""

from __future__ import annotations

from splicer.importer.directive import Directive
from splicer.importer.draft import Draft, Named, Table, free_name
from splicer.model import authority


def upstream_at(draft: Draft, wish: str, host: str, port: int, *sources: Directive, more: Table | None = None) -> Named:
    """The upstream with an address: the one that the draft has, or a new one.

    Args:
        draft: gets a new one.
        wish: its name, if that is free.
        host: name or IP address, or a template with captures.
        port: the TCP port.
        sources: where the address comes from.
        more: its other keys; None: there are none.
    """
    address, others = authority(host, port), Table() if more is None else more
    wanted = {("address",): address, **others.values}
    upstream = next((each for each in draft.upstreams.values() if each.values == wanted), None)
    if upstream is None:
        upstream = new_upstream(draft, wish, address)
        upstream.origin = sources[0].place if sources else ""
    for path, value in wanted.items():
        told = sources if path == ("address",) else others.sources[path]
        upstream.put(path, value, *upstream.sources.get(path, ()), *told)
    return upstream


def new_upstream(draft: Draft, wish: str, address: str, *sources: Directive) -> Named:
    """A new upstream.

    Args:
        draft: gets it.
        wish: its name, if that is free.
        address: host and port.
        sources: where the address comes from.
    """
    name = free_name(wish, draft.upstreams)
    upstream = Named(name=name, origin=sources[0].place if sources else "")
    upstream.put("address", address, *sources)
    draft.upstreams[name] = upstream
    return upstream


def is_short(host: str) -> bool:
    """Whether a name has no domain: splicer has no search list, so such a name leads nowhere."""
    return not any(char in host for char in ".:*")
