"""The samples that the dashboard reads: what processes have counted in their files, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from splicer.admin.counted import Counted
from splicer.admin.current_config import CurrentConfig
from splicer.admin.rates import LOOKED_AT, look
from splicer.admin.tallies import Tallies, Tally
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import make_logger
from tests.admin.counting import Start


def test_without_files_there_is_nothing(tmp_path: Path) -> None:
    assert list(Tallies(None, LOOKED_AT)()) == []
    assert list(Tallies(tmp_path, LOOKED_AT)()) == []
    tmp_path.joinpath("counter_1.db").touch()
    assert list(Tallies(tmp_path, LOOKED_AT)()) == [], "a file that is being created"


# The scrape's own sums are the reference.
async def test_they_add_up_to_what_a_scrape_says(tmp_path: Path, start: Start, nursery: trio.Nursery) -> None:
    for row in (1, 2):
        worker = start(tmp_path, row)
        for _ in range(row):
            worker.tell("answered", status=200, lasts=0.03)
            worker.tell("answered", status=503, lasts=7.0)
            worker.tell("opened")
    log = make_logger(LineWriter(2), "json")
    families = Counted(tmp_path, CurrentConfig(nursery, Path("routing.toml"), {}, log))()
    expected = Counter[tuple[str, frozenset[tuple[str, str]]]]()
    for metric in families.values():
        for sample in metric.samples:
            if sample.name in LOOKED_AT and not sample.name.endswith("_bucket"):
                expected[sample.name, frozenset(sample.labels.items())] += int(sample.value)
    tallies = Tallies(tmp_path, LOOKED_AT)
    found = Counter[tuple[str, frozenset[tuple[str, str]]]]()
    for tally in tallies():
        assert tally.name in LOOKED_AT
        if not tally.name.endswith("_bucket"):
            found[tally.name, frozenset(tally.labels.items())] += int(tally.value)
    assert +found == +expected
    assert +found != Counter()
    buckets = look(1.0, tallies()).buckets
    cumulated = {
        (sample.labels["route"], float(sample.labels["le"])): int(sample.value)
        for sample in families["splicer_request_duration_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == "call"
    }
    assert {key: count for key, count in buckets.items() if key[0] == "call"} == cumulated


def test_what_it_has_seen_can_be_forgotten(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 1).tell("opened")
    tallies = Tallies(tmp_path, frozenset({"splicer_tunnels_total"}))
    before = list(tallies())
    assert Tally("splicer_tunnels_total", {"pod": "pod-1", "route": "call"}, 1.0) in before
    tallies.forget()
    assert tallies._keys == {}
    assert list(tallies()) == before
