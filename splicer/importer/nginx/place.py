"""A location that is being translated."""

from __future__ import annotations

from attrs import Factory, define

from splicer.importer.draft import RouteDraft
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.values import Part, Variable, expanded, parts_of


@define(eq=False)
class Place:
    """A location.

    Args:
        statement: the `location`, or the `server` for what holds outside all of them.
        scope: its directives, and those that it inherits.
        route: what it becomes.
        prefix: the prefix that it matches; None: it is a regex or named.
        regex: the expression, with all groups named; "": none.
        known: the values of variables: what `set` has made, and ``$1`` to ``$9``.
        captures: the names that its pattern, or an authorizer, gives.
        steps: the `set` directives that were used.
    """

    statement: Statement
    scope: Scope
    route: RouteDraft
    prefix: str | None = None
    regex: str = ""
    known: dict[str, list[Part]] = Factory(dict)
    captures: frozenset[str] = frozenset()
    steps: list[Statement] = Factory(list)

    def parts(self, word: str) -> list[Part]:
        """A word with the values of the known variables put in."""
        return expanded(parts_of(word), self.known)

    def learn(self, groups: dict[str, str]) -> None:
        """Know ``$1`` to ``$9``, and the variables that `set` makes here, in nginx's order: outer blocks first."""
        self.known |= {number: [Variable(name)] for number, name in groups.items()}
        for scope in reversed(list(self.scope.chain())):
            for statement in scope.own("set"):
                if len(statement.args) == 2:
                    self.known[statement.first.removeprefix("$")] = self.parts(statement.args[1])
                    self.steps.append(statement)
