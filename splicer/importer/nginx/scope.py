"""What holds in a block: its own directives, and those that it inherits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import define, field

from splicer.importer.nginx.source import Statement


@define(eq=False)
class Scope:
    """A block.

    Args:
        statements: its own.
        outer: the block around it.
    """

    statements: Sequence[Statement]
    outer: Scope | None = None
    _places: dict[str, list[int]] = field(init=False)

    @_places.default
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, statement in enumerate(self.statements):
            found.setdefault(statement.name, []).append(place)
        return found

    def own(self, *names: str) -> list[Statement]:
        """The block's own directives of these names, in order."""
        places = sorted(place for name in names for place in self._places.get(name, ()))
        return [self.statements[place] for place in places]

    def all(self, *names: str) -> list[Statement]:
        """The directives that hold here: nginx inherits a list only where the block has none of its own."""
        for scope in self.chain():
            if found := scope.own(*names):
                return found
        return []

    def last(self, name: str) -> Statement | None:
        """The directive that holds here."""
        found = self.all(name)
        return found[-1] if found else None

    def is_on(self, name: str) -> bool:
        """Whether a flag is on."""
        statement = self.last(name)
        return statement is not None and statement.first == "on"

    def chain(self) -> Iterator[Scope]:
        """This block, and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer
