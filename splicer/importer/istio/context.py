"""What all parts of a translation share."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import Factory, define

from splicer.importer.directive import Directive
from splicer.importer.draft import Draft, RouteDraft, free_name
from splicer.importer.istio.resources import Resource
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.upstreams import is_short
from splicer.importer.yaml_source import Node, mark

_META = "the resource's own name"


@define(eq=False)
class Context:
    """A translation under way.

    Args:
        draft: the routing.toml.
        ledger: the verdicts.
        domain: of the cluster.
        services: the ports of Services and ServiceEntries, by their whole names.
        names: the route names that are taken.
    """

    draft: Draft
    ledger: Ledger
    domain: str
    services: dict[str, list[int]] = Factory(dict)
    names: set[str] = Factory(set)

    def lost(self, node: Node, note: str) -> None:
        """Nothing of a node is carried."""
        if node.is_there:
            mark(self.ledger, node, Verdict.LOST, note)

    def differs(self, node: Node, note: str) -> None:
        """A node is carried, with this difference, which its first directive tells."""
        for first in list(node.leaves())[:1]:
            self.ledger.differs(first, note)

    def give(self, node: Node, verdict: Verdict, note: str) -> None:
        """All of a node has this verdict."""
        mark(self.ledger, node, verdict, note)

    def whole_name(self, host: str, namespace: str) -> str:
        """A host with its namespace and the cluster's domain."""
        return f"{host}.{namespace}.svc.{self.domain}" if is_short(host) else host

    def route(self, wish: str, node: Node) -> RouteDraft:
        """A new route."""
        route = RouteDraft(
            name=free_name("all" if wish == "/" else wish, self.names), origin=f"{node.file}:{node.line}"
        )
        self.names.add(route.name)
        return route


def leaf(node: Node) -> list[Directive]:
    """The directives of a node, as sources of a key."""
    return list(node.leaves())


def mark_meta(ledger: Ledger, resource: Resource) -> None:
    """The parts that every resource has."""
    for key in ("apiVersion", "kind", "metadata", "status"):
        mark(ledger, resource.node.get(key), Verdict.NO_NEED, _META)


def string_match(node: Node, kinds: Mapping[str, str] | None = None) -> tuple[str, Node] | None:
    """The kind of a `StringMatch` and the node of its text."""
    for key in kinds or ("exact", "prefix", "regex"):
        if node.get(key).is_there:
            return key, node.get(key)
    return None
