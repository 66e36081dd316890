"""What an operator reads when a request has failed."""

from __future__ import annotations

from splicer.ops.failure import AdminFailed, Refused


def test_each_fault_is_a_line() -> None:
    error = AdminFailed("one", "two")
    assert (error.faults, str(error), error.detail) == (("one", "two"), "one\ntwo", "one\ntwo")


def test_without_a_fault_its_reason_is_told() -> None:
    assert AdminFailed().detail == "admin"


def test_a_refusal_is_a_failure_too() -> None:
    assert isinstance(Refused("no such call"), AdminFailed)
