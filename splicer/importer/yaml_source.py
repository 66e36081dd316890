"""Parsing YAML into nodes that know their lines; every scalar is a directive.

PyYAML's composer is used alone: no object is constructed. What a hostile or broken file could do is bounded: aliases
that multiply, depth and size. A key that stands twice in one mapping, of which YAML would keep the last, is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from attrs import define, field

from splicer.importer.directive import Directive, ImportFault
from splicer.importer.ledger import Ledger, Verdict

_MOST_NODES = 50_000
_DEEPEST = 60
_LARGEST = 4 << 20  # bytes of a file
_STEPS = 2  # of a path that the report shows: the line says the rest
_INDEX = re.compile(r"\[\d+\]")
_LONGEST = 200  # characters of a scalar in the report


@define(eq=False)
class Node:
    """A node of a document.

    Args:
        file: the file's name.
        line: from 1.
        path: the keys that lead to it, in dotted form.
        value: a mapping of nodes, a list of nodes, or a scalar.
        leaf: the directive, for a scalar and for an empty mapping or list; null is nothing.
    """

    file: str
    line: int
    path: str
    value: dict[str, Node] | list[Node] | str | int | float | bool | None = None
    leaf: Directive | None = None
    _lines: dict[str, int] = field(factory=dict)

    def get(self, *keys: str) -> Node:
        """The node below some keys; an empty one, without a line of its own, where there is none."""
        node = self
        for key in keys:
            found = node.value.get(key) if isinstance(node.value, dict) else None
            if found is None:
                return Node(self.file, self.line, f"{self.path}.{'.'.join(keys)}")
            node = found
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        """The entries of a mapping."""
        yield from self.value.items() if isinstance(self.value, dict) else ()

    def each(self) -> list[Node]:
        """The items of a list."""
        return self.value if isinstance(self.value, list) else []

    @property
    def is_there(self) -> bool:
        """Whether the document has it."""
        return self.value is not None

    @property
    def text(self) -> str:
        """A scalar as text; "" for anything else."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return "" if isinstance(self.value, dict | list) or self.value is None else str(self.value)

    def number(self) -> int | None:
        """A scalar as an integer, which protobuf's JSON also writes as a string."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        return int(self.value) if isinstance(self.value, str) and self.value.isdecimal() else None

    @property
    def is_true(self) -> bool:
        """Whether it is true."""
        return self.value is True or self.value == "true"

    def leaves(self) -> Iterator[Directive]:
        """All directives at and below it."""
        stack = [self]
        while stack:
            node = stack.pop()
            if node.leaf is not None:
                yield node.leaf
            inner = node.value.values() if isinstance(node.value, dict) else node.value
            if isinstance(node.value, dict | list):
                stack += reversed(list(inner))  # type: ignore[arg-type]  # both are nodes

    def fault(self, text: str) -> ImportFault:
        """A fault at this place."""
        return ImportFault(self.file, self.line, f"{self.path}: {text}" if self.path else text)


def mark(ledger: Ledger, node: Node, verdict: Verdict, note: str = "") -> None:
    """Give all directives of a node a verdict."""
    for leaf in node.leaves():
        ledger.mark(leaf, verdict, note)


def mark_rest(ledger: Ledger, node: Node, verdict: Verdict, note: str = "") -> None:
    """Give those directives of a node a verdict that have none yet."""
    for leaf in node.leaves():
        if not ledger.is_marked(leaf):
            ledger.mark(leaf, verdict, note)


def documents(file: str) -> list[Node]:
    """The documents of a YAML or JSON file.

    Raises:
        ImportFault: it can't be read, with the line and what to do.
    """
    text = _text(file)
    try:
        composed = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        raise _fault(file, error) from None
    except yaml.YAMLError as error:
        raise ImportFault(file, None, f"is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ImportFault(file, None, "is nested too deep") from None
    budget = [_MOST_NODES]
    return [_node(file, each, "", 0, budget) for each in composed if each is not None and not _is_empty(each)]


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            raw = opened.read(_LARGEST + 1)
    except OSError as error:
        raise ImportFault(file, None, f"can't be read: {error.strerror}") from None
    if len(raw) > _LARGEST:
        raise ImportFault(file, None, f"is larger than {_LARGEST >> 20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFault(file, raw.count(b"\n", 0, error.start) + 1, "is not valid UTF-8; save it as UTF-8") from None


def _fault(file: str, error: yaml.MarkedYAMLError) -> ImportFault:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    problem = error.problem or error.context or "is no YAML"
    if "'\\t'" in problem:
        return ImportFault(file, line, "a tab can't indent YAML; write spaces")
    if mark is not None and mark.buffer is not None and "{{" in _line_of(mark):
        return ImportFault(file, line, "{{ … }} is a template's: render it first (helm template, envsubst)")
    context = (
        f" ({error.context} of line {error.context_mark.line + 1})" if error.context_mark and error.context else ""
    )
    return ImportFault(file, line, f"{problem}{context}; see whether the lines around it are indented right")


def _line_of(mark: Any) -> str:
    start = mark.buffer.rfind("\n", 0, mark.pointer) + 1
    return str(mark.buffer[start:].partition("\n")[0])


def _node(file: str, composed: yaml.Node, path: str, depth: int, budget: list[int]) -> Node:
    budget[0] -= 1
    line = composed.start_mark.line + 1
    if budget[0] < 0 or depth > _DEEPEST:
        fault = (
            f"more than {_MOST_NODES} values, aliases counted" if budget[0] < 0 else f"nested more than {_DEEPEST} deep"
        )
        raise ImportFault(file, line, f"{fault}: this is no configuration")
    node = Node(file, line, path)
    match composed:
        case yaml.MappingNode():
            node.value = _mapping(file, composed, path, depth, budget)
        case yaml.SequenceNode():
            node.value = [
                _node(file, item, f"{path}[{number}]", depth + 1, budget) for number, item in enumerate(composed.value)
            ]
        case yaml.ScalarNode():
            node.value = _scalar(composed)
    if node.value is not None and (not isinstance(node.value, dict | list) or not node.value):
        node.leaf = Directive(file, line, _shown(path, node.value))
    return node


def _mapping(file: str, composed: yaml.MappingNode, path: str, depth: int, budget: list[int]) -> dict[str, Node]:
    entries: dict[str, Node] = {}
    for key, value in composed.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ImportFault(file, line, "a key must be a word; {{ … }} of a template must be rendered first")
        if key.tag == "tag:yaml.org,2002:merge":
            raise ImportFault(
                file, line, "a merge key (<<) is no part of a Kubernetes or Envoy file; write the keys out"
            )
        if key.value in entries:
            raise ImportFault(
                file, line, f"{key.value!r} stands twice, first in line {entries[key.value].line}; remove one"
            )
        entries[key.value] = _node(file, value, f"{path}.{key.value}" if path else key.value, depth + 1, budget)
        if entries[key.value].leaf is not None:
            entries[key.value].line = line
            entries[key.value].leaf.line = line  # type: ignore[union-attr]  # it was looked at
    return entries


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" if text.lstrip("+-").isdecimal() and len(text) < 20:
            return int(text)
        case "null":
            return None
    return text


def _shown(path: str, value: object) -> str:
    path = ".".join(_INDEX.sub("", path).split(".")[-_STEPS:])
    if isinstance(value, dict | list):
        return f"{path}: {'{}' if isinstance(value, dict) else '[]'}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text.replace("\n", "\\n")
    return f"{path}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}"
