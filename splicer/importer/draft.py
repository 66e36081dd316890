"""The routing.toml that is being made: tables whose keys know the directives that they come from."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from attrs import Factory, define

from splicer.importer.directive import Directive

Path = tuple[str, ...]

_UNFIT = re.compile(r"[^A-Za-z0-9_]+")
_SECTIONS = ("server", "deadlines", "limits", "log", "resolver")
_LONGEST_NAME = 48  # characters: it is in each line of the log


@define(eq=False)
class Table:
    """A table of the draft.

    Args:
        values: by the path of the key within the table: ``("deadlines", "connect")``.
        sources: the directives of each path.
    """

    values: dict[Path, Any] = Factory(dict)
    sources: dict[Path, list[Directive]] = Factory(dict)

    def put(self, path: str | Path, value: Any, *sources: Directive) -> None:
        """Set a key.

        Args:
            path: the key, or the path to a key of an inner table.
            value: as TOML has it.
            sources: where it comes from.
        """
        path = (path,) if isinstance(path, str) else path
        self.values[path] = value
        self.sources[path] = list(dict.fromkeys(sources))

    def get(self, *path: str) -> Any:
        """The value at a path; None without one."""
        return self.values.get(path)

    def drop(self, path: Path) -> list[Directive]:
        """Take out a key, or an inner table, and return the directives that it came from."""
        gone = [key for key in self.values if key[: len(path)] == path or path[: len(key)] == key]
        return [source for key in gone if self.values.pop(key, None) is not None for source in self.sources.pop(key)]

    def all_sources(self) -> list[Directive]:
        """The directives of all keys."""
        return list(dict.fromkeys(source for sources in self.sources.values() for source in sources))

    def as_toml(self, order: Sequence[str] = ()) -> dict[str, Any]:
        """The table with its inner tables.

        Args:
            order: of its keys; others come last.
        """
        table: dict[str, Any] = {}
        ranks = {key: rank for rank, key in enumerate(order)}
        for path, value in sorted(self.values.items(), key=lambda item: ranks.get(item[0][0], len(ranks))):
            inner = table
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = value
        return table


@define(eq=False)
class Named(Table):
    """A table with a name, and the place that it comes from.

    Args:
        name: unique among its kind.
        origin: where it comes from.
        comments: lines above it.
    """

    name: str = ""
    origin: str = ""
    comments: list[str] = Factory(list)


@define(eq=False)
class RouteDraft(Named):
    """A route.

    Args:
        closed: why it may not be served as it is: what protected it could not be carried. It answers 503 then.
        by_scheme: it looks at the scheme, which is known only where TLS ends.
    """

    closed: list[str] = Factory(list)
    by_scheme: bool = False


@define(eq=False)
class Draft:
    """A whole file.

    Args:
        title: what it was made from.
        sections: the tables that occur once.
        tls: the profiles of listeners, by name.
        upstreams: by name.
        routes: in order.
        errors: of `[[errors]]`.
        passthrough: of `[[passthrough]]`.
    """

    title: str
    sections: dict[str, Table] = Factory(lambda: {name: Table() for name in _SECTIONS})
    tls: dict[str, Named] = Factory(dict)
    upstreams: dict[str, Named] = Factory(dict)
    routes: list[RouteDraft] = Factory(list)
    errors: list[Named] = Factory(list)
    passthrough: list[Named] = Factory(list)

    def unused_upstreams(self) -> Iterator[Named]:
        """Upstreams to which no route leads."""
        used = {name for route in self.routes for name in upstreams_of(route)}
        used |= {table.get("upstream") for table in self.passthrough}
        yield from (upstream for name, upstream in self.upstreams.items() if name not in used)

    def tables(self) -> Iterator[Table]:
        """All tables."""
        yield from (
            *self.sections.values(),
            *self.tls.values(),
            *self.upstreams.values(),
            *self.routes,
            *self.errors,
            *self.passthrough,
        )

    def all_sources(self) -> Iterator[Directive]:
        """The directives of all tables."""
        for table in self.tables():
            yield from table.all_sources()


def upstreams_of(route: RouteDraft) -> Iterator[str]:
    """The names of a route's upstreams."""
    for path, value in route.values.items():
        match path:
            case ("upstream",) | ("fallback",) | ("authorize", "upstream"):
                yield value
            case ("upstream", name):
                yield name


def free_name(wish: str, taken: Container[str]) -> str:
    """A name like the wish that nobody has."""
    name = _UNFIT.sub("-", wish).strip("-_")[:_LONGEST_NAME].strip("-_") or "root"
    return next(each for each in _numbered(name) if each not in taken)


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
