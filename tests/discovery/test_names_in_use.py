from __future__ import annotations

from attrs import define

from splicer.discovery.names_in_use import KEEP_SECONDS, MOST, NamesInUse, Used


@define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def used(number: int, upstream: str = "pod") -> Used:
    return Used(upstream, f"pod-{number}.pods.test", f"10.0.{number // 250}.{number % 250}", 8000)


def test_a_name_is_forgotten_ten_minutes_after_its_last_use() -> None:
    clock = Clock()
    names = NamesInUse(clock)
    assert names.add(used(1))
    clock.now = 100.0
    assert names.add(used(2))
    clock.now = 200.0
    assert not names.add(used(1)), "it is known"
    clock.now = 100.0 + KEEP_SECONDS
    assert names.expire()
    assert list(names.of("pod")) == [used(1)]
    assert not names.expire()


def test_a_name_with_another_address_is_new() -> None:
    names = NamesInUse(Clock())
    names.add(used(1))
    assert names.add(Used("pod", "pod-1.pods.test", "10.9.9.9", 8000))
    assert len(list(names.of("pod"))) == 2


def test_the_names_of_an_upstream() -> None:
    names = NamesInUse(Clock())
    names.add(used(1))
    names.add(used(1, "other"))
    assert list(names.of("other")) == [used(1, "other")]
    assert list(names.of("third")) == []


def test_if_there_are_too_many_the_oldest_goes() -> None:
    names = NamesInUse(Clock())
    for number in range(MOST):
        names.add(used(number))
    names.add(used(0))
    names.add(used(MOST))
    known = set(names.of("pod"))
    assert len(known) == MOST
    assert used(0) in known
    assert used(1) not in known
