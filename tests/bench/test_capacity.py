"""The command: where its costs come from, and that its formulas are right when reckoned by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest

from bench import capacity
from bench.capacity import BUILT_IN, measured
from bench.report.store import dumps
from tests.bench.report.sample import sample

NODE = ["--edge-cores=2", "--memory-gib=8", "--nofile=20000", "--file-max=1e6", "--ports=28232", "--conntrack=262144"]


@pytest.fixture
def result(tmp_path: Path) -> str:
    path = tmp_path / "bench.json"
    path.write_text(dumps(sample()), encoding="utf-8")
    return str(path)


@pytest.fixture(autouse=True)
def no_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "LATEST", tmp_path / "latest.json")


def test_costs_are_splicers_own() -> None:
    its = measured(sample())
    assert its.costs.frame_us == 9.4
    assert its.costs.handshake_us == pytest.approx(1e6 / 2190)
    assert its.costs.process_bytes == pytest.approx(9.1 * 1024)
    assert its.sources["frame_us"] == "frames.cpu_us of the run of 2026-11-23T12:57:37+00:00"


def test_what_a_run_lacks_is_built_in_and_said_so() -> None:
    report = attrs.evolve(sample(), figures=[one for one in sample().figures if one.scenario == "frames"])
    its = measured(report)
    assert its.costs == attrs.evolve(BUILT_IN, frame_us=9.4)
    assert its.sources["handshake_us"].startswith("built in: quiet runs of 2026-")
    assert measured(None).costs == BUILT_IN


def test_a_quick_run_has_memory_for_1000_calls_only() -> None:
    report = attrs.evolve(sample(), figures=[one for one in sample().figures if one.name != "5000_kb"])
    assert measured(report).costs.process_bytes == pytest.approx(9.5 * 1024)


def test_each_formula_with_its_numbers_gives_the_result(result: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main([result, *NODE, "--calls=100000"]) == 0
    out = capsys.readouterr().out
    cores = re.search(r"cores +=.*= ([\d,.]+), that is (\d+)", out)
    assert cores
    by_hand = (2 * 50 * 100_000 * 9.4 + 100_000 / 180 * 1e6 / 2190) / 1e6 / 0.7
    assert float(cores[1]) == pytest.approx(by_hand, abs=0.05)
    assert int(cores[2]) == int(by_hand) + 1
    assert "9,968  descriptors of the vault = (20,000 - 64) / 2 a call" in out
    assert "first CPU at 1,485, then descriptors of the vault at 9,968" in out


def test_more_workers_give_more_until_the_supervisor_is_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main([]) == 0
    curve = re.findall(
        r"^ +(\d+) workers: +([\d,]+) new calls.*?( \(the sup.*)?$", capsys.readouterr().out, re.MULTILINE
    )
    rates = [int(rate.replace(",", "")) for _, rate, _ in curve]
    inside = BUILT_IN.handshake_us - BUILT_IN.outside_us
    assert rates[0] == round(0.7e6 / inside)
    assert rates[-1] == rates[-2] == round(0.7e6 / BUILT_IN.outside_us)
    assert [bool(bound) for _, _, bound in curve] == [False] * 5 + [True] * 2


def test_json_has_the_same(result: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main([result, *NODE, "--calls=5000", "--calls=7", "--packets=400000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [need["calls"] for need in found["demand"]] == [5000, 7]
    assert found["edge"][0]["name"] == "packets"
    assert found["edge"][0]["calls"] == 1000
    assert found["costs"]["costs"]["frame_us"] == 9.4


def test_without_a_run_it_says_where_the_costs_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main([]) == 0
    out = capsys.readouterr().out
    assert out.count("built in: quiet runs of 2026-") == 7
    assert "\n100,000 calls" in out
    assert "\n1,000,000 calls" in out


def test_the_latest_run_is_taken_if_there_is_one(
    result: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest.json").write_text(Path(result).read_text(encoding="utf-8"), encoding="utf-8")
    assert capacity.main([]) == 0
    assert "frames.cpu_us of the run of" in capsys.readouterr().out


def test_the_kernels_memory_can_be_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.node.socket_bytes", lambda: 1000.0)
    assert capacity.main(["--measure-kernel", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["costs"]["costs"]["kernel_bytes"] == 2000.0


@pytest.mark.parametrize(
    "argument",
    [
        "--calls=0",
        "--calls=1.5",
        "--calls=many",
        "--core-share=1.1",
        "--frame-rate=nan",
        "--pods=-1",
        "--memory-gib=inf",
        "--memory-gib=1e300",
        "--calls=1e308",
        "--calls=1e400",
        "--new-calls-per-s=1e308",
        "--call-seconds=2,5",
        "--calls=1,0000",
        "--calls=1_000",
        "--calls=,100",
        "--calls=",
        "--calls=1\n",
    ],
)
def test_a_bad_number_is_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        capacity.main([argument])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m bench.capacity: argument {argument.partition('=')[0]}: must be")
    assert told.count("\n") == 1


def test_thousands_may_be_set_apart(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--calls=1,000,000", "--call-seconds=1,200.5", "--file-max=9223372036854775807", "--json"]
    assert capacity.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["demand"][0]["calls"] == 1_000_000
    assert found["load"]["call_seconds"] == 1200.5


def test_a_cost_that_is_no_number_is_built_in() -> None:
    figures = [attrs.evolve(one, values=(float("inf"),)) for one in sample().figures if one.key == "frames.cpu_us"]
    assert measured(attrs.evolve(sample(), figures=figures)).costs == BUILT_IN


@pytest.mark.parametrize("arguments", [["no/such.json"], ["--nofile=60"], ["--frame-rate=1e-320", "--packets=1e12"]])
def test_what_cannot_be_answered_is_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
