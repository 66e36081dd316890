"""How many CPUs there are: by affinity, and by the quota of a control group of either version (cgroups(7))."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splicer.configfile.cpus import usable_cpus


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),  # two and a half: a third worker has something to do
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("1600000 100000", 8),
        ("100000 50000", 2),
        ("", 8),
        ("max", 8),
    ],
)
def test_version_2(tmp_path: Path, quota: str, cpus: int) -> None:
    _write(tmp_path / "cpu.max", f"{quota}\n")
    assert usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [
        ("-1", "100000", 8),
        ("300000", "100000", 3),
        ("310000", "100000", 4),
        ("10000", "100000", 1),
        ("9900000", "100000", 8),
        ("300000", None, 8),
        (None, "100000", 8),
    ],
)
def test_version_1(tmp_path: Path, quota: str | None, period: str | None, cpus: int) -> None:
    for name, text in (("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", period)):
        if text is not None:
            _write(tmp_path / "cpu" / name, f"{text}\n")
    assert usable_cpus(tmp_path) == cpus


def test_without_a_control_group_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cpus(tmp_path) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert usable_cpus(tmp_path / "nowhere") == 1


def test_this_machine_has_some() -> None:
    assert 1 <= usable_cpus() <= 8


@pytest.mark.parametrize(("most", "cpus"), [("", 8), ("1", 1), ("3", 3), ("8", 8), ("64", 8)])
def test_the_environment_may_set_a_lower_number(tmp_path: Path, most: str, cpus: int) -> None:
    assert usable_cpus(tmp_path, {"SPLICER_CPUS": most}) == cpus


@pytest.mark.parametrize("most", ["0", "-1", "1.5", "many", " 2"])
def test_any_other_value_is_a_fault(tmp_path: Path, most: str) -> None:
    with pytest.raises(ValueError, match=f"SPLICER_CPUS={most}: must be a whole number of CPUs, at least 1"):
        usable_cpus(tmp_path, {"SPLICER_CPUS": most})
