"""The requests with which two configurations do different things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import Factory, define, frozen

from splicer.comparison.outcome import WHERE, Answers, Outcome
from splicer.comparison.questions import Question, questions
from splicer.config.diff import diff
from splicer.config.scalars import printable
from splicer.config.schema import Config

_NOTHING = "nothing"


@frozen
class Change:
    """A request with which the two do different things.

    Args:
        question: the request.
        routes: the names of the routes that take it, before and after; "" for none.
        keys: what differs.
        old: what is done with it before.
        new: what is done with it after.
    """

    question: Question
    routes: tuple[str, str]
    keys: tuple[str, ...]
    old: Outcome
    new: Outcome

    @property
    def is_elsewhere(self) -> bool:
        """Whether it goes elsewhere, and is not merely handled otherwise."""
        return any(key in WHERE for key in self.keys)


@define
class Comparison:
    """The result.

    Args:
        asked: how many requests were tried.
        changes: those with which something else happens.
        settings: what has changed outside of the routes, one line each.
    """

    asked: int = 0
    changes: list[Change] = Factory(list)
    settings: list[str] = Factory(list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.changes and not self.settings


def compare(old: Config, new: Config) -> Comparison:
    """Try requests that are made of both configurations with each of them.

    Args:
        old: the configuration before.
        new: the one after.
    """
    settings = [line for line in diff(old, new) if not line.startswith("routes")]
    result = Comparison(settings=settings)
    if old.routes == new.routes:
        return result
    before, after = Answers(old), Answers(new)
    asked = questions(old, new)
    result.asked = len(asked)
    for question in asked:
        (first, was), (second, now) = before.ask(question), after.ask(question)
        if was != now:
            keys = tuple(_differing(was, now))
            result.changes.append(Change(question, (first, second), keys, was, now))
    return result


def _differing(was: Outcome, now: Outcome) -> Iterator[str]:
    """The keys that differ; of a pod and a fixed answer, it is said where they lead, and no more."""
    comparable = ("upstream" in was) == ("upstream" in now)
    for key in dict.fromkeys((*WHERE, *was, *now)):
        if was.get(key) != now.get(key) and (comparable or key in WHERE):
            yield key


def as_lines(comparison: Comparison) -> list[str]:
    """The result for a person: requests of one kind stand together, with the first as an example."""
    elsewhere = [change for change in comparison.changes if change.is_elsewhere]
    otherwise = [change for change in comparison.changes if not change.is_elsewhere]
    if comparison.is_empty:
        return ["no difference"]
    lines = []
    for changes, words in ((elsewhere, "go elsewhere"), (otherwise, "are handled otherwise")):
        if changes:
            lines += [f"{len(changes)} of {comparison.asked} requests {words}", ""]
            lines += [line for group in _groups(changes) for line in _group(group)]
    if comparison.settings:
        lines += ["settings", *(f"  {line}" for line in comparison.settings), ""]
    return list(map(printable, lines[:-1]))


def _groups(changes: Sequence[Change]) -> Iterator[list[Change]]:
    groups: dict[object, list[Change]] = {}
    for change in changes:
        steady = tuple((change.old.get(key), change.new.get(key)) for key in change.keys if key not in WHERE)
        kinds = tuple((key in change.old, key in change.new) for key in change.keys)
        groups.setdefault((change.routes, change.keys, kinds, steady), []).append(change)
    yield from groups.values()


def _group(group: Sequence[Change]) -> Iterator[str]:
    first = group[0]
    more = f"   and {len(group) - 1} more" if len(group) > 1 else ""
    yield f"{first.question.text}{more}"
    old, new = (f'route "{name}"' if name else "no route" for name in first.routes)
    yield f"  {old}" if old == new else f"  {old} → {new}"
    for key in first.keys:
        yield f"  {key:<10} {first.old.get(key, _NOTHING)} → {first.new.get(key, _NOTHING)}"
    yield ""


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The result for a program: each request is one object."""
    return {
        "asked": comparison.asked,
        "requests": [
            {
                "method": change.question.method,
                "host": change.question.host,
                "target": change.question.target,
                "scheme": change.question.scheme,
                "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in change.question.headers},
                "elsewhere": change.is_elsewhere,
                "routes": [name or None for name in change.routes],
                "changes": {key: [change.old.get(key), change.new.get(key)] for key in change.keys},
            }
            for change in comparison.changes
        ],
        "settings": comparison.settings,
    }
