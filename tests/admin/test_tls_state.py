"""What operators and the scraper are told of TLS."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from splicer.admin.supervisor_status import SupervisorStatus
from splicer.admin.tls_state import TlsState
from splicer.ipc.board import Board
from splicer.ipc.facts import EdgeFacts
from splicer.ipc.tls_messages import CertificateFacts, ProfileFacts, TlsProcessFacts
from splicer.ipc.tls_table import ProcessWord, TlsTable

_DAY = 86_400.0
_BEGIN, _END = 1_700_000_000.25, 4_000_000_000.0
ONE = CertificateFacts("/tls/tls.crt", ("edge.test", "*.edge.test"), _BEGIN, _END, "ECDSA", "ab" * 32)
EDGE = ProfileFacts("edge", "client", (ONE,))


class State:
    """A `TlsState` and what it looks at."""

    def __init__(self, board: Board) -> None:
        self.facts = SupervisorStatus()
        self.table = TlsTable(board.tls)
        self.it = TlsState(board, self.facts)

    def learn(self, *profiles: ProfileFacts, used: tuple[str, ...] | None = None, **more: object) -> None:
        for profile in profiles:
            self.it.learn(profile)
        names = tuple(f"{profile.side}/{profile.name}" for profile in profiles) if used is None else used
        self.facts.learn(replace(EdgeFacts(tls_profiles=names), **more))  # type: ignore[arg-type]  # its fields

    def samples(self, family: str) -> dict[tuple[str, ...], float]:
        """By the values of labels, in the order of labels' names."""
        [found] = [metric for metric in self.it.metrics() if metric.name == f"splicer_{family}"]
        return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in found.samples}


@pytest.fixture
def state() -> Iterator[State]:
    board = Board()
    yield State(board)
    for fd in board.fds:
        os.close(fd)


def test_a_certificate_as_a_person_reads_it(state: State) -> None:
    state.learn(EDGE)
    [told] = state.it.certificates()
    days = told.pop("days_left")
    assert days == int((_END - time.time()) // _DAY)
    assert told == {
        "profile": "edge",
        "side": "client",
        "path": "/tls/tls.crt",
        "names": ["edge.test", "*.edge.test"],
        "key": "ECDSA",
        "not_before": "2023-11-14T22:13:20.250000Z",
        "not_after": "2096-10-02T07:06:40Z",
        "fingerprint": "ab" * 32,
        "current": True,
    }


def test_one_that_has_expired_an_hour_ago_has_a_day_less_than_none(state: State) -> None:
    state.learn(replace(EDGE, certificates=(replace(ONE, not_after=time.time() - 3600),)))
    assert [told["days_left"] for told in state.it.certificates()] == [-1]


def test_why_the_newest_files_are_not_used(state: State) -> None:
    state.learn(replace(EDGE, fault="the key is another's"))
    [told] = state.it.certificates()
    assert (told["current"], told["fault"]) == (False, "the key is another's")
    assert state.samples("certificate_reload_success") == {("edge",): 0}
    state.learn(EDGE)
    [told] = state.it.certificates()
    assert (told["current"], "fault" in told) == (True, False)
    assert state.samples("certificate_reload_success") == {("edge",): 1}


def test_a_profile_counts_as_long_as_the_configuration_has_it(state: State) -> None:
    pod = ProfileFacts("edge", "pod", (replace(ONE, path="/pod/tls.crt"),))
    state.learn(pod, EDGE)
    assert [(told["side"], told["path"]) for told in state.it.certificates()] == [
        ("client", "/tls/tls.crt"),
        ("pod", "/pod/tls.crt"),
    ]
    state.learn(used=("pod/edge",))
    assert [told["side"] for told in state.it.certificates()] == ["pod"]


def test_of_two_certificates_with_one_name_the_first_to_end_counts(state: State) -> None:
    rsa = replace(ONE, key="RSA", not_after=_END - _DAY)
    nameless = replace(ONE, names=(), path="/tls/other.crt")
    for order in ((ONE, rsa, nameless), (nameless, rsa, ONE)):
        state.learn(replace(EDGE, certificates=order))
        assert state.samples("certificate_not_after_timestamp_seconds") == {
            ("edge.test", "edge"): _END - _DAY,
            ("/tls/other.crt", "edge"): _END,
        }


def test_without_tls_each_family_has_a_sample(state: State) -> None:
    assert all(family.samples for family in state.it.metrics())
    assert state.it.certificates() == state.it.processes() == []
    assert state.samples("certificate_not_after_timestamp_seconds")["", ""] > _END, "an alert must not fire"
    assert state.samples("certificate_reload_success") == {("",): 1}


def test_processes_of_before_an_upgrade_are_old(state: State) -> None:
    processes = (
        TlsProcessFacts(pid=11, row=1, generation=0, state="leaving"),
        TlsProcessFacts(pid=12, row=2, generation=1, state="serving"),
        TlsProcessFacts(pid=13, row=3, generation=1, state="starting"),
    )
    for process, connections in zip(processes, (5, 7, 11), strict=True):
        state.table.row(process.row)[ProcessWord.CONNECTIONS] = connections
    state.learn(tls_processes=processes, tls_restarts=4)
    assert [tuple(told.values()) for told in state.it.processes()] == [
        (11, "leaving", "old", 5),
        (12, "serving", "current", 7),
        (13, "starting", "current", 11),
    ]
    assert state.samples("tls_connections") == {("current",): 18, ("old",): 5}
    assert state.samples("tls_processes") == {("starting",): 1, ("serving",): 1, ("leaving",): 1}
    assert state.samples("tls_restarts") == {(): 4}


# A row of the table is another process's one day, and begins with nothing.
def test_a_count_does_not_fall_when_its_process_ends(state: State) -> None:
    one, other = (TlsProcessFacts(pid=row, row=row, generation=0, state="serving") for row in (1, 2))
    state.table.row(1)[ProcessWord.TRUNCATED], state.table.row(2)[ProcessWord.TRUNCATED] = 3, 2
    state.learn(tls_processes=(one, other))
    assert state.samples("tls_truncated") == {(): 5}
    state.learn(tls_processes=(other,))
    assert state.samples("tls_truncated") == {(): 5}
    state.table.row(2)[ProcessWord.TRUNCATED] = 9
    assert state.samples("tls_truncated") == {(): 9}
