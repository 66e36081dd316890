"""The files of a row: who counts there next, and what becomes of counts where there is no room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from splicer.errors import TooManyConnections
from splicer.model import Endpoint
from splicer.observe.families import keep_in
from splicer.observe.metrics import Metrics
from tests.observe.counted import counted
from tests.observe.recorded import PLAIN, ROW, TUNNEL, routes

_ROOT = Path(__file__).resolve().parent.parent.parent


# ---- who counts next ----


def test_a_file_that_grows_loses_nothing(metrics: Metrics, directory: Path) -> None:
    size = (directory / f"counter_{ROW}.db").stat().st_size
    for number in range(1500):
        metrics.tunnel_opened(evolve(TUNNEL, endpoint=Endpoint(f"pod-{number:04}" + "x" * 40, "10.0.0.2", 8000)))
    assert (directory / f"counter_{ROW}.db").stat().st_size > 2 * size
    metrics.crashed("192.0.2.7", None, ZeroDivisionError())
    found = counted(directory)
    assert found['requests_total{method="GET",route="call",status="1xx"}'] == 1500
    assert sum(value for series, value in found.items() if series.startswith("tunnels_")) == 1500
    assert found["crashes_total"] == 1


_COUNTER = """
import sys
from pathlib import Path
from splicer.observe.families import keep_in
from splicer.observe.metrics import Metrics
from splicer.errors import TooManyConnections
keep_in(Path(sys.argv[1]), int(sys.argv[2]))
metrics = Metrics()
for number in range(1 << 30):
    metrics.connection_refused("192.0.2.7", TooManyConnections())
    metrics.late(0.003)
    print(number + 1, flush=True)
"""
_COUNT = 'connections_refused_total{reason="too_many_connections"}'


def test_the_next_process_on_a_row_goes_on_where_a_killed_one_stopped(directory: Path) -> None:
    command = [sys.executable, "-c", _COUNTER, str(directory), str(ROW)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100)]
        process.send_signal(signal.SIGKILL)
        told = int([*lines, *process.stdout][-1])
    files = sorted(directory.iterdir())
    before = counted(directory)
    assert told <= before[_COUNT] <= told + 1
    metrics = Metrics()
    assert counted(directory) == before, "nothing is lost, and nothing is counted twice"
    for _ in range(10):
        metrics.connection_refused("192.0.2.7", TooManyConnections())
    assert counted(directory)[_COUNT] == before[_COUNT] + 10
    assert sorted(directory.iterdir()) == files


def test_any_number_of_processes_on_a_row_leave_the_same_files(directory: Path) -> None:
    names = set()
    for number in range(1, 6):
        keep_in(directory, ROW)
        Metrics().tunnel_opened(TUNNEL)
        names |= {file.name for file in directory.iterdir()}
        assert counted(directory)['tunnels_total{pod="voice-agent-2",route="call"}'] == number
    assert names == {f"counter_{ROW}.db", f"histogram_{ROW}.db"}


def test_rows_add_up(directory: Path) -> None:
    for row in (1, 2, 250):
        keep_in(directory, row)
        Metrics().tunnel_opened(TUNNEL)
    found = counted(directory)
    assert found['tunnels_total{pod="voice-agent-2",route="call"}'] == 3
    assert found['handshake_duration_seconds_count{outcome="opened",part="connect"}'] == 3
    assert found['handshake_duration_seconds_sum{outcome="opened",part="connect"}'] == 1.5
    assert len(list(directory.iterdir())) == 6


def test_without_a_directory_a_process_counts_for_itself(directory: Path) -> None:
    keep_in(None, ROW)
    metrics = Metrics()
    metrics.know(routes())
    metrics.tunnel_opened(TUNNEL)
    metrics.tunnel_over(TUNNEL)
    assert not list(directory.iterdir())
    found = {sample.name: sample.value for metric in metrics.collect() for sample in metric.samples if sample.value}
    assert (found["splicer_tunnels_total"], found["splicer_tunnel_duration_seconds_count"]) == (1, 1)


# ---- no room ----


class Room:
    """How much the file system says that it has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self.gone = False
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, _: object) -> os.statvfs_result:
        if self.gone:
            raise FileNotFoundError
        return os.statvfs_result((4096, 4096, 1 << 20, self.bytes // 4096, self.bytes // 4096, 0, 0, 0, 0, 255))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


def _tell_all(metrics: Metrics, pod: str) -> None:
    other = evolve(TUNNEL, endpoint=Endpoint(pod, "10.0.0.3", 8000))
    metrics.know(routes())
    metrics.tunnel_opened(other)
    metrics.tunnel_over(evolve(other, closer="proxy", close_reason=pod))
    metrics.exchange_ended(evolve(PLAIN, route=pod))
    metrics.connection_refused("192.0.2.7", TooManyConnections())
    metrics.crashed("192.0.2.7", TUNNEL, ZeroDivisionError())
    metrics.dropped(1)
    metrics.late(0.1)
    metrics.resolver.count("queries")


@pytest.mark.parametrize("gone", [False, True])
def test_where_there_is_no_room_nothing_new_is_written_and_nothing_raises(
    metrics: Metrics, directory: Path, room: Room, gone: bool
) -> None:
    before, sizes = counted(directory), [file.stat().st_size for file in directory.iterdir()]
    room.gone = gone  # an edge that was killed leaves it, and the next one tidies up while calls go on
    _tell_all(metrics, "new")
    after = counted(directory)
    assert after.keys() == before.keys()
    assert [file.stat().st_size for file in directory.iterdir()] == sizes
    assert (after[_COUNT], after["crashes_total"], after["resolver_queries_total"]) == (1, 1, 1), "these had their room"
    assert after['tunnel_bytes_total{direction="to_pod"}'] == before['tunnel_bytes_total{direction="to_pod"}']


def test_what_had_no_room_is_counted_when_there_is_some_again(metrics: Metrics, directory: Path, room: Room) -> None:
    _tell_all(metrics, "new")
    room.bytes = 1 << 30
    _tell_all(metrics, "new")
    found = counted(directory)
    assert found['tunnels_total{pod="new",route="call"}'] == 1
    assert found['tunnel_closes_total{closer="proxy",reason="new"}'] == 1
    assert found[_COUNT] == 2


@pytest.mark.parametrize(("size", "enough"), [(0, False), ((4 << 20) - 4096, False), (4 << 20, True)])
def test_who_begins_without_room_is_told(directory: Path, room: Room, size: int, enough: bool) -> None:
    room.bytes = size
    if enough:
        keep_in(directory, ROW)
        return
    with pytest.raises(OSError, match="has no room"):
        keep_in(directory, ROW)
    assert not list(directory.iterdir())


def test_a_directory_that_is_not_there_is_told(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        keep_in(tmp_path / "nowhere", ROW)
