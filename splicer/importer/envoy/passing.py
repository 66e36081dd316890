"""Listeners that pass TLS on by the name that a client asks for."""

from __future__ import annotations

from typing import Any

from splicer.importer.draft import RouteDraft
from splicer.importer.envoy.clusters import lead_to
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.ledger import Verdict
from splicer.importer.passing import pass_through
from splicer.importer.tls import entries, entry
from splicer.importer.yaml_source import Node, mark_rest

_TCP = ".TcpProxy"


def passes_through(context: Context, listener: Node) -> bool:
    """Carry a listener of which each filter chain is a TCP proxy for some server names; whether it is one.

    Args:
        context: gets `[[passthrough]]`, and the listener.
        listener: the node.
    """
    chains = listener.get("filter_chains").each()
    socket = listener.get("address", "socket_address")
    found = [(chain.get("filter_chain_match", "server_names"), _cluster(chain)) for chain in chains]
    if not chains or any(cluster is None or not names.each() for names, cluster in found):
        return False
    for chain, (names, cluster) in zip(chains, found, strict=True):
        scratch = RouteDraft()
        lead_to(context, scratch, cluster or chain)
        if not isinstance(scratch.get("upstream"), str):
            context.lost(chain, "write [[passthrough]] with one upstream")
            continue
        where = f"{chain.file}:{chain.line}"
        pass_through(context.draft, [name.text for name in names.each()], scratch, where, *leaf(names))
        context.ledger.hold(context.draft.all_sources())
        mark_rest(context.ledger, chain.get("filter_chain_match"), Verdict.LOST, "only the name is looked at")
        mark_rest(context.ledger, chain.get("filters"), Verdict.CARRIED, "in passthrough")
    for each in listener.get("listener_filters").each():
        mark_rest(context.ledger, each, Verdict.NO_NEED, "splicer looks at the name itself")
    host, port = socket.get("address").text, socket.get("port_value").number()
    add_listener(context, entry(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", passthrough=True), socket)
    return True


def _cluster(chain: Node) -> Node | None:
    filters = chain.get("filters").each()
    if len(filters) != 1 or not filters[0].get("typed_config", "@type").text.endswith(_TCP):
        return None
    cluster = filters[0].get("typed_config", "cluster")
    return cluster if cluster.is_there else None


def add_listener(context: Context, told: str | dict[str, Any], socket: Node) -> None:
    """One more entry of `server.listen`.

    Args:
        context: gets it.
        told: the entry.
        socket: the address, as its source.
    """
    section = context.draft.sections["server"]
    before = section.get("listen")
    known = [] if before is None else entries(before)
    every = [*known, told]
    section.put("listen", every[0] if len(every) == 1 else every, *section.sources.get(("listen",), ()), *leaf(socket))
