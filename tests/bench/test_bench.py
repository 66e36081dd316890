"""The whole bench, as it is called."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.peers.nginx import Nginx
from bench.report.store import read
from bench.report.write import JSON

ROOT = Path(__file__).resolve().parents[2]


def started(*arguments: str, module: str = "bench") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def bench(*arguments: str, module: str = "bench") -> tuple[int, str, str]:
    """Exit code, and what was said."""
    with started(*arguments, module=module) as process:
        out, err = process.communicate(timeout=110)
        return process.returncode, out, err


@pytest.mark.slow
def test_splicer_is_measured(tmp_path: Path) -> None:
    code, out, err = bench("http", "kill", "--peers", "splicer", "--seconds", "0.5", "--quick", "--out", str(tmp_path))
    assert code == 0, err
    report = read(tmp_path / "latest" / JSON)
    assert report.skipped == ()
    assert list(report.versions) == ["splicer"]
    rate, lost = report.figure("http.rate", "splicer"), report.figure("kill.lost", "splicer")
    assert rate
    assert rate.median > 0
    assert lost
    assert lost.values == (0,)
    assert "http 1/1 splicer" in err
    assert all(Path(path).is_file() for path in out.split())


@pytest.mark.slow
def test_splicer_and_nginx_are_measured_side_by_side(tmp_path: Path) -> None:
    if reason := Nginx.software.missing():
        pytest.skip(reason)
    code, _, err = bench("frames", "handshakes", "--peers", "nginx", "--quick", "--out", str(tmp_path))
    assert code == 0, err
    report = read(tmp_path / "latest" / JSON)
    assert report.skipped == ()
    for key in "frames.cpu_us", "handshakes.per_cpu":
        for peer in "splicer", "nginx":
            figure = report.figure(key, peer)
            assert figure
            assert figure.median > 0


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_process_and_what_it_has_measured(tmp_path: Path) -> None:
    with started("saturate", "http", "--peers", "splicer", "--seconds", "0.3", "--out", str(tmp_path)) as process:
        assert process.stderr is not None
        while "http 1/3 splicer" not in process.stderr.readline():
            assert process.poll() is None
        sessions = tree(process.pid)
        assert len(sessions) > 3
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    until = time.monotonic() + 5
    while living := [pid for pid in sessions if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, living
        time.sleep(0.05)
    report = read(tmp_path / "latest" / JSON)
    figure = report.figure("saturate.rate", "splicer")
    assert figure
    assert len(figure.values) == 3


def tree(pid: int) -> list[int]:
    """A process and all that came from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.joinpath("stat").exists():
            parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def test_who_runs_the_bench_as_a_module_gets_its_exit_code() -> None:
    code, out, err = bench("nothing")
    assert (code, out) == (2, "")
    assert err.startswith("python -m bench: no scenario 'nothing'")


# What they find out is the machine's; that they do is what is tested.
@pytest.mark.slow
def test_two_checkouts_are_compared() -> None:
    asked = ("http", "handshakes", "--before", str(ROOT), "--pairs", "6", "--seconds", "0.1")
    code, out, err = bench(*asked, module="bench.pairs")
    assert code in (0, 1), err
    for cost in ("CPU of a new call", "of that outside the worker", "CPU of an HTTP request"):
        assert cost in out, err


@pytest.mark.slow
def test_parts_are_measured_beside_the_whole() -> None:
    code, out, err = bench("--repeat", "1", "--seconds", "0.3", module="bench.parts")
    assert code in (0, 1), err
    for part in ("counting a call, together", "the journal's store", "counting takes at most 5%"):
        assert part in out, err


@pytest.mark.slow
def test_a_scrape_is_timed_beside_calls() -> None:
    code, out, err = bench("--pods", "20", "--scrapes", "2", "--seconds", "0.3", module="bench.scrape")
    assert code in (0, 1), err
    assert "20 tunnels to as many pods, 2 workers" in out, err
    assert out.count(" 0 tunnels lost") == 3, out
