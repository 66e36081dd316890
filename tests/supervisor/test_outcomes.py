"""Who waits for what, and hears of it once."""

from __future__ import annotations

from attrs import define, field

from splicer.supervisor.outcomes import Outcomes, Topic


@define(eq=False)
class Person:
    heard: list[tuple[bool, list[str]]] = field(factory=list)

    def answer(self, lines: list[str], *, ok: bool) -> None:
        self.heard.append((ok, lines))


def test_each_hears_of_its_own_event_once() -> None:
    outcomes, one, another, third = Outcomes(), Person(), Person(), Person()
    outcomes.waiting.update({one: Topic.READING, another: Topic.READING, third: Topic.RENEWAL})
    outcomes.fail(Topic.READING, "a fault", "another")
    outcomes.succeed(Topic.READING, "too late")
    assert one.heard == another.heard == [(False, ["a fault", "another"])]
    outcomes.succeed(Topic.RENEWAL, "done")
    assert third.heard == [(True, ["done"])]
    assert not outcomes.waiting


def test_who_asks_between_two_steps_waits_for_its_own() -> None:
    outcomes, first, second = Outcomes(), Person(), Person()
    outcomes.waiting[first] = Topic.READING
    outcomes.move(Topic.READING, Topic.RELOAD)
    outcomes.waiting[second] = Topic.READING
    outcomes.succeed(Topic.RELOAD, "done")
    assert (first.heard, second.heard) == ([(True, ["done"])], [])


def test_an_end_is_told_to_all_but_those_who_asked_for_it() -> None:
    outcomes, one, ender, gone = Outcomes(), Person(), Person(), Person()
    outcomes.waiting.update({one: Topic.RENEWAL, ender: Topic.HANDOVER, gone: Topic.RELOAD})
    outcomes.forget(gone)
    outcomes.fail_others(Topic.HANDOVER, "it stops")
    assert (one.heard, ender.heard, gone.heard) == ([(False, ["it stops"])], [], [])
