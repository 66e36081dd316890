"""Which settings of TLS are in force while others are tried, whatever comes in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from splicer.ipc.tls_messages import ProfileFacts, TlsSettings
from splicer.supervisor.tls_trial import TlsTrial, Tried


class Trial(TlsTrial):
    """One whose processes take what they get; the test answers for them."""

    def __init__(self) -> None:
        nothing: Any = None
        super().__init__(nothing, nothing, tuple, lambda _: None, self._note)
        self.changes = 0
        self.backs: list[TlsSettings] = []

    def _note(self) -> None:
        self.changes += 1

    def _go_back(self) -> None:
        self.backs.append(self.settings)

    def begin(self, settings: TlsSettings, tried: Tried) -> None:
        self._replace(settings)
        self._tried = tried

    def answer(self, faults: Sequence[str]) -> None:
        self._decide(faults)


def settings(number: int) -> TlsSettings:
    return TlsSettings(processes=number)


@given(st.lists(st.integers(1, 9) | st.sampled_from([(), ("a fault",)]), max_size=20))
def test_what_is_in_force_is_what_was_taken_last(steps: list[int | tuple[str, ...]]) -> None:
    trial = Trial()
    told: dict[int, list[Sequence[str]]] = {}
    taken, wanted, number = TlsSettings(), TlsSettings(), 0
    for step in steps:
        if isinstance(step, int):
            number += 1
            heard = told[number] = []
            trial.begin(settings(step), heard.append)
            wanted = settings(step)
        else:
            trial.answer(step)
            taken = wanted = taken if step else wanted
        assert trial.settings == wanted, "new processes get what is tried"
    trial.answer(("the end",))
    assert trial.settings == taken
    assert all(len(heard) == 1 for heard in told.values()), "each reload is answered, once"


def test_a_newer_reload_gives_up_the_one_before_and_goes_back_to_what_was_before_that() -> None:
    trial, told = Trial(), list[Sequence[str]]()
    trial.restore(settings(1), generation=3)
    trial.begin(settings(2), told.append)
    trial.begin(settings(3), told.append)
    assert told == [["given up for a newer reload"]]
    trial.answer(["bad"])
    assert (trial.settings, trial.generation) == (settings(1), 3)
    assert trial.backs == [settings(1)] * 2
    assert told[1:] == [["bad"]]


def test_whoever_is_told_sees_what_is_in_force() -> None:
    trial, seen = Trial(), list[tuple[TlsSettings, int]]()
    trial.begin(settings(2), lambda _: seen.append((trial.settings, trial.changes)))
    trial.answer(())
    trial.begin(settings(3), lambda _: seen.append((trial.settings, trial.changes)))
    trial.answer(["bad"])
    assert seen == [(settings(2), 1), (settings(2), 2)]


def test_what_was_read_of_a_profile_is_forgotten_with_it() -> None:
    trial = Trial()
    kinds = [("client", "edge"), ("pod", "edge"), ("client", "old")]
    trial.profiles = {(side, name): ProfileFacts(name, side, ()) for side, name in kinds}
    server: Any = object()
    trial.begin(TlsSettings(processes=1, servers={"edge": server}), lambda _: None)
    assert len(trial.profiles) == 3, "they may be needed again"
    trial.answer(())
    assert set(trial.profiles) == {("client", "edge")}
