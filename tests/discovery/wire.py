"""What a real kube-apiserver said (wire.txt), section by section."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.kit.kubernetes.controller import Pod

_HEAD = re.compile(r"HTTP/1\.1 (\d+) ([^|]+) \| (.*)")
_LINE = re.compile(r"\s*([\d.]+) s +\d+ B  (.*)")
_SHORT = re.compile(r"(ADDED|MODIFIED|DELETED) \S+ rv=\d+ gen=\d+ endpoints=(.*) ports=(.*)")
_VARIABLE = {"name", "uid", "resourceVersion", "generation", "creationTimestamp", "generateName"}


@frozen
class Section:
    """One request and its answer; `lines` are those of the body, as the file has them."""

    title: str
    target: str
    status: int
    reason: str
    headers: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def sent(self) -> dict[str, str | None]:
        """The headers that the file says the client sent beyond the usual ones."""
        if self.title.startswith("bad token"):
            return {"Authorization": "Bearer wrong"}
        if self.title.startswith("no token"):
            return {"Authorization": None}
        match = re.search(r" (\{'.*\})$", self.title)
        return ast.literal_eval(match[1]) if match else {}


def sections() -> list[Section]:
    """Those that begin with a request."""
    found = []
    for text in (Path(__file__).with_name("wire.txt").read_text(encoding="utf-8")).split("\n## "):
        title, _, rest = text.partition("\n")
        head = _HEAD.match(rest)
        target = re.search(r"(?:GET |watch, .*: |bookmarks=true&)(\S+)", title)
        if head and target:
            names = tuple(part.strip() for part in head[3].split(";"))
            lines = tuple(line for line in rest.splitlines()[1:] if line and not line.startswith("#"))
            found.append(Section(title, target[1], int(head[1]), head[2], names, lines))
    return found


def section(beginning: str) -> Section:
    return next(each for each in sections() if each.title.startswith(beginning))


@frozen
class Short:
    """A line of a watch in the file's short form."""

    kind: str
    endpoints: tuple[Any, ...] | None
    ports: Any


def short(line: str) -> Short:
    """Of a line of the file."""
    text = _said(line)
    if match := _SHORT.fullmatch(text):
        endpoints = json.loads(match[2])
        return Short(match[1], None if endpoints is None else tuple(endpoints), json.loads(match[3]))
    return short_of(json.loads(text))


def short_of(event: dict[str, Any]) -> Short:
    """Of an event."""
    thing = event["object"]
    keys = ("hostname", "addresses", "conditions", "nodeName", "zone")
    endpoints = thing.get("endpoints")
    seen = None if endpoints is None else tuple([each[key] for key in keys] for each in endpoints)
    return Short(event["type"], seen, thing.get("ports"))


def whole(line: str) -> Any:
    """The JSON of a line of the file that has it whole."""
    return json.loads(_said(line))


def _said(line: str) -> str:
    match = _LINE.match(line)
    return match[2] if match else line.strip()


def pods(endpoints: Sequence[Any] | None) -> list[Pod]:
    """The pods that a line's endpoints stand for."""
    return [
        Pod(name, addresses[0], ready=state["serving"], terminating=state["terminating"], node=node, zone=zone)
        for name, addresses, state, node, zone in endpoints or ()
    ]


def shape(thing: Any) -> Any:
    """JSON with each value that differs from cluster to cluster replaced by its type; the order of the keys counts."""
    if isinstance(thing, list):
        return [shape(each) for each in thing]
    if not isinstance(thing, dict):
        return thing
    # The annotation says when the pods changed, and whether there is one depends on that.
    kept = {key: value for key, value in thing.items() if key not in ("managedFields", "annotations")}
    return [(key, type(value).__name__ if key in _VARIABLE else shape(value)) for key, value in kept.items()]
