"""Resources of Kubernetes, by kind and name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from splicer.importer.directive import ImportFault
from splicer.importer.yaml_source import Node, documents

_CAPTURE = re.compile(r"\$\{?[0-9]+\}?|\\[0-9]")
_HOSTS = ("host", "subset")


@frozen
class Resource:
    """One resource.

    Args:
        node: the whole document.
        kind: as "VirtualService".
        group: of its API, as "networking.istio.io"; "" for the core.
        namespace: its own, or the one that was given for those without.
        name: its name.
    """

    node: Node
    kind: str
    group: str
    namespace: str
    name: str

    @property
    def spec(self) -> Node:
        """What it says."""
        return self.node.get("spec")


def resources(files: Sequence[str], namespace: str) -> list[Resource]:
    """The resources of some files, lists of them taken apart.

    Args:
        files: their names.
        namespace: of resources that name none.

    Raises:
        ImportFault: a file can't be read, a document is no resource, or two have the same name.
    """
    found: dict[tuple[str, str, str, str], Resource] = {}
    for file in files:
        for document in documents(file):
            for node in _items(document):
                resource = _resource(node, namespace)
                key = (resource.group, resource.kind, resource.namespace, resource.name)
                if key in found:
                    first = found[key].node
                    raise node.fault(
                        f"a second {resource.kind} {resource.name!r}; the first is {first.file}:{first.line}"
                    )
                _check_captures(node)
                found[key] = resource
    if not found:
        raise ImportFault(files[0], None, "has no resource")
    return list(found.values())


def _items(document: Node) -> Iterator[Node]:
    if document.get("kind").text.endswith("List") and document.get("items").is_there:
        yield from document.get("items").each()
    else:
        yield document


def _resource(node: Node, namespace: str) -> Resource:
    kind, api, name = node.get("kind").text, node.get("apiVersion").text, node.get("metadata", "name").text
    for key, value in (("kind", kind), ("apiVersion", api), ("metadata.name", name)):
        if not value:
            raise node.fault(f"has no {key}: this is no resource of Kubernetes")
    return Resource(node, kind, api.rpartition("/")[0], node.get("metadata", "namespace").text or namespace, name)


def _check_captures(node: Node) -> None:
    """Istio takes no capture into a destination, though people try.

    Raises:
        ImportFault: one is there.
    """
    stack = [(node, "")]
    while stack:
        each, key = stack.pop()
        if key in _HOSTS and _CAPTURE.search(each.text):
            raise each.fault(
                f"{each.text!r}: no capture of a match can stand in a destination of Istio. Write a route for "
                "each pod, which the import folds into one; or, in routing.toml, a regex with (?<pod>…) and an "
                "upstream with {pod}"
            )
        stack += [(item, name) for name, item in each.items()]
        stack += [(item, key) for item in each.each()]
