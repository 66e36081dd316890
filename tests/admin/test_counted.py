"""The sums of what all processes have counted, and what is there before anybody has counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from splicer.admin.counted import Counted
from tests.admin.counting import Start
from tests.admin.rig import Rig, rig

_JUDGED = """
[upstreams.judged]
address = "judged.test:80"
health_check = "tcp"
outlier_detection = {}
[[routes]]
name = "other"
prefix = "/"
upgrade = ["websocket"]
upstream = "judged"
"""


def samples(admin: Rig, directory: Path | None, family: str) -> dict[tuple[str, ...], float]:
    """By the values of labels, in the order of labels' names."""
    found = [
        (tuple(value for _, value in sorted(sample.labels.items())), sample.value)
        for sample in Counted(directory, admin.current)()[f"splicer_{family}"].samples
        if sample.name.endswith("_total")
    ]
    assert len(dict(found)) == len(found), "a series that is there twice makes a page that Prometheus refuses"
    return {
        labels: value for labels, value in found if any(labels)
    }  # without a series for nobody, which is always there


async def test_processes_add_up_and_the_dead_ones_count(tmp_path: Path, start: Start) -> None:
    first, second = start(tmp_path, 2), start(tmp_path, 3)
    for process in (first, first, second):
        process.tell("opened")
    first.kill()
    start(tmp_path, 2).tell("opened", pod="pod-2")
    async with rig() as admin:
        assert samples(admin, tmp_path, "tunnels") == {("pod-1", "call"): 3, ("pod-2", "call"): 1, ("", "call"): 0}


@pytest.mark.parametrize("files", [True, False])
async def test_what_nobody_has_counted_is_zero(tmp_path: Path, files: bool) -> None:
    (tmp_path / "counter_3.db").touch()  # it is just being made
    async with rig(_JUDGED) as admin:
        where = tmp_path if files else None
        assert samples(admin, where, "tunnels") == {("", "other"): 0}
        assert samples(admin, where, "ejections")["connect_refused", "judged"] == 0
        assert samples(admin, where, "health_checks")["ok", "judged"] == 0


async def test_before_there_is_a_configuration_each_family_is_there(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 1).tell("opened")
    async with rig(None) as admin:
        none, some = Counted(None, admin.current)(), Counted(tmp_path, admin.current)()
        assert none.keys() == some.keys()
        assert all(family.samples for family in none.values())


async def test_a_route_of_a_reload_has_its_series_and_one_that_is_gone_keeps_its_counts(
    tmp_path: Path, start: Start
) -> None:
    start(tmp_path, 1).tell("opened")
    async with rig(_JUDGED) as admin:
        assert samples(admin, tmp_path, "tunnels") == {("pod-1", "call"): 1, ("", "other"): 0}
