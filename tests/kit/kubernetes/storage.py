"""What an API server keeps: objects, one counter of versions for all of them, and what happened of late."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator, Mapping

import trio
from attrs import define, field, frozen

from tests.kit.kubernetes.resources import Thing

Labels = Mapping[str, str]
Selects = Callable[[Labels], bool]


@frozen
class Change:
    """An object before (None: there was none) and after (None: it is gone), at a version."""

    version: int
    namespace: str
    before: Thing | None
    after: Thing | None


@define
class Storage:
    """`oldest` is the first version from which a watch can begin.

    `changed` is set at the next change, and then another one is there.
    """

    version: int = 1000
    oldest: int = 1000
    changed: trio.Event = field(factory=trio.Event)
    _objects: dict[tuple[str, str], Thing] = field(factory=dict)
    _history: list[Change] = field(factory=list)
    _random: random.Random = field(factory=lambda: random.Random(1))

    def objects(self, namespace: str) -> list[Thing]:
        """Those of a namespace by name, as etcd has them: their order says nothing about their versions."""
        return [self._objects[key] for key in sorted(self._objects) if key[0] == namespace]

    def get(self, namespace: str, name: str) -> Thing | None:
        return self._objects.get((namespace, name))

    def put(self, thing: Thing) -> None:
        """Keep an object, with the next version, if it is new or differs from the one that is kept."""
        metadata = thing["metadata"]
        key = metadata["namespace"], metadata["name"]
        before = self._objects.get(key)
        if before is not None and _content(before) == _content(thing):
            return
        kept = copy.deepcopy(thing)
        self.touch()
        kept["metadata"]["resourceVersion"] = str(self.version)
        kept["metadata"]["generation"] = 1 if before is None else before["metadata"]["generation"] + 1
        self._objects[key] = kept
        self._tell(Change(self.version, key[0], before, kept))

    def delete(self, namespace: str, name: str) -> None:
        before = self._objects.pop((namespace, name))
        self.touch()
        self._tell(Change(self.version, namespace, before, None))

    def touch(self) -> None:
        """Something that nobody watches has changed: all kinds of objects share the counter."""
        self.version += self._random.randint(1, 3)

    def compact(self) -> None:
        """Every version of before is too old to begin a watch from.

        What happened is kept for the watches that are open: a real server has put it into their buffers already.
        """
        self.touch()
        self.oldest = self.version

    def wake(self) -> None:
        """Let all watches look."""
        self.changed.set()
        self.changed = trio.Event()

    def events(self, after: int, namespace: str, selects: Selects) -> Iterator[tuple[int, str, Thing]]:
        """Version, type and object of what a watch from a version must say."""
        for change in self._history:
            if change.version > after and change.namespace == namespace:
                was = change.before is not None and selects(_labels(change.before))
                now = change.after is not None and selects(_labels(change.after))
                if now:
                    assert change.after is not None
                    yield change.version, "MODIFIED" if was else "ADDED", change.after
                elif was:
                    assert change.before is not None
                    yield change.version, "DELETED", _at(change.before, change.version)

    def _tell(self, change: Change) -> None:
        self._history.append(change)
        self.wake()


class BadSelector(ValueError):
    """Neither `a=b`, `a==b`, `a in (b,c)`, nor several of them with commas between."""


_IN = re.compile(r"\s*([\w./-]+)\s+in\s+\(([^()]*)\)\s*(?:,|$)")
_EQUAL = re.compile(r"\s*([\w./-]+)\s*={1,2}\s*([\w.-]*)\s*(?:,|$)")


def selector(text: str) -> Selects:
    """What a `labelSelector` selects.

    Raises:
        BadSelector: see there.
    """
    wanted: list[tuple[str, frozenset[str]]] = []
    at = 0
    while at < len(text):
        if match := _IN.match(text, at):
            wanted.append((match[1], frozenset(value.strip() for value in match[2].split(","))))
        elif match := _EQUAL.match(text, at):
            wanted.append((match[1], frozenset({match[2]})))
        else:
            raise BadSelector(text)
        at = match.end()
    return lambda labels: all(labels.get(key) in values for key, values in wanted)


def _labels(thing: Thing) -> Labels:
    labels: Labels = thing["metadata"].get("labels", {})
    return labels


def _content(thing: Thing) -> Thing:
    metadata = {key: value for key, value in thing["metadata"].items() if key not in ("resourceVersion", "generation")}
    return thing | {"metadata": metadata}


def _at(thing: Thing, version: int) -> Thing:
    return thing | {"metadata": thing["metadata"] | {"resourceVersion": str(version)}}
