"""The guard: what fell is a failure, and so is a splicer that was not measured; nothing else is."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import guard
from bench.guard import EXPECTED, Expect, Outcome, Verdict, expectations, verdicts
from bench.model import MORE_IS_BETTER, Figure, Report, Skipped
from bench.report.store import dumps
from bench.report.words import against
from tests.bench.report.sample import sample

KEYS = sorted(MORE_IS_BETTER)


def one(key: str, mine: float, other: float, bound: tuple[int, int] = (0, 0)) -> Report:
    scenario, _, name = key.partition(".")
    both = zip(("splicer", "nginx"), (mine, other), bound, strict=True)
    figures = [Figure(scenario, name, peer, "", (value,), limited) for peer, value, limited in both]
    return Report({}, {}, "now", 1.0, {}, tuple(figures))


def judged(report: Report, expect: Expect) -> Verdict:
    [found] = verdicts(report, [expect])
    return found


@given(st.sampled_from(KEYS), st.floats(0.1, 10), st.floats(0, 0.9), st.floats(0.01, 100))
def test_it_fell_if_it_lacks_more_than_its_tolerance(key: str, ratio: float, tolerance: float, times: float) -> None:
    mine, other = (times, 1.0) if MORE_IS_BETTER[key] else (1.0, times)
    found = judged(one(key, mine, other), Expect(key, "nginx", ratio, tolerance))
    assert found.measured == times
    assert found.outcome is (Outcome.HOLDS if times >= ratio * (1 - tolerance) else Outcome.FELL)


@pytest.mark.parametrize(
    ("key", "mine", "bound", "outcome"),
    [
        ("saturate.rate", 0.5, (1, 0), Outcome.LOAD_BOUND),  # it could have been more
        ("saturate.rate", 0.5, (1, 1), Outcome.LOAD_BOUND),
        ("saturate.rate", 0.5, (0, 1), Outcome.FELL),  # the peer could have been even better
        ("saturate.rate", 2.0, (1, 0), Outcome.HOLDS),
        ("saturate.rate", 2.0, (0, 1), Outcome.HOLDS),
        ("storm.p99_us", 2.0, (1, 0), Outcome.FELL),  # a load that lags makes no latency worse
    ],
)
def test_a_bound_load_excuses_what_it_hurts(key: str, mine: float, bound: tuple[int, int], outcome: Outcome) -> None:
    assert judged(one(key, mine, 1.0, bound), Expect(key, "nginx", 1.0, 0.1)).outcome is outcome


def test_enough_against_a_peer_that_the_load_limited_is_said() -> None:
    assert "limited the peer" in judged(one("http.rate", 2.0, 1.0, (0, 1)), Expect("http.rate", "nginx", 1.0, 0.1)).why


def test_one_repetition_of_three_that_was_bound_excuses_nothing() -> None:
    figures = [Figure("http", "rate", peer, "", (rate,) * 3, 1) for peer, rate in (("splicer", 1.0), ("nginx", 9.0))]
    report = Report({}, {}, "now", 1.0, {}, tuple(figures))
    assert judged(report, Expect("http.rate", "nginx", 1.0, 0.1)).outcome is Outcome.FELL


def test_why_there_is_nothing_to_compare() -> None:
    reasons = {
        Skipped("nginx", "not installed:\napt install nginx"): "nginx: not installed: apt install nginx",
        Skipped("nginx", "it died", "http"): "nginx: it died",
        Skipped("nginx", "it died", "bulk"): "nginx: not in this run",
    }
    for skipped, why in reasons.items():
        report = attrs.evolve(one("http.rate", 1.0, 1.0), skipped=(skipped,))
        alone = attrs.evolve(report, figures=report.figures[:1])
        found = judged(alone, Expect("http.rate", "nginx", 1.0, 0.1))
        assert (found.outcome, found.why) == (Outcome.SKIPPED, why)


def test_a_scenario_that_could_not_be_run_is_no_failure_of_splicer(tmp_path: Path) -> None:
    report = Report({}, {}, "now", 1.0, {}, (), (Skipped("", "no C compiler", "frames"),))
    found = judged(report, Expect("frames.cpu_us", "nginx", 1.0, 0.1))
    assert (found.outcome, found.why) == (Outcome.SKIPPED, "no C compiler")
    assert run(tmp_path, report) == 0


@pytest.mark.parametrize("scenario", ["", "http"])
@pytest.mark.parametrize("there", [0, 1, 2], ids=["no figure", "splicer's figure", "both figures"])
def test_a_splicer_that_could_not_be_measured_fell(tmp_path: Path, scenario: str, there: int) -> None:
    both = one("http.rate", 1.0, 1.0)
    report = attrs.evolve(both, figures=both.figures[:there], skipped=(Skipped("splicer", "it\ndied", scenario),))
    found = judged(report, Expect("http.rate", "nginx", 1.0, 0.1))
    assert (found.outcome, found.why) == (Outcome.FELL, "splicer was not measured: it died")
    assert run(tmp_path, report) == 1


def test_what_splicer_lacks_elsewhere_is_no_failure_here() -> None:
    report = attrs.evolve(one("http.rate", 1.0, 1.0), skipped=(Skipped("splicer", "it died", "bulk"),))
    assert judged(report, Expect("http.rate", "nginx", 1.0, 0.1)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("key", ["http.rate", "kill.stall_ms", "frames.cpu_us"])
@pytest.mark.parametrize("values", [(math.inf,), (math.nan,), (1.0, math.nan, 2.0)], ids=str)
def test_a_figure_of_splicer_that_is_no_number_fell(key: str, values: tuple[float, ...]) -> None:
    report = one(key, 1.0, 1.0, (1, 1))
    broken = attrs.evolve(report.figures[0], values=values)
    found = judged(attrs.evolve(report, figures=(broken, report.figures[1])), Expect(key, "nginx", 1.0, 0.1))
    assert found.outcome is Outcome.FELL
    assert found.why.startswith("splicer was not measured: ")


def test_infinitely_better_is_better() -> None:
    assert judged(one("kill.lost", 0.0, 9.0), Expect("kill.lost", "nginx", 5.0, 0.1)).outcome is Outcome.HOLDS
    assert (
        judged(one("kill.stall_ms", 9.0, math.inf), Expect("kill.stall_ms", "nginx", 5.0, 0.1)).outcome is Outcome.HOLDS
    )


def test_a_peers_figure_that_is_no_number_is_said_to_be_so() -> None:
    found = judged(one("http.rate", 1.0, math.nan), Expect("http.rate", "nginx", 1.0, 0.1))
    assert (found.outcome, found.why) == (Outcome.SKIPPED, "nginx: its median is no number")


@pytest.mark.parametrize("name", ["expected.toml", "expected-python.toml"])
def test_the_files_here_can_be_used_and_say_why_for_each(name: str) -> None:
    path = EXPECTED.with_name(name)
    found = expectations(path)
    assert len({(expect.figure, expect.peer) for expect in found}) == len(found)
    lines = path.read_text("utf-8").splitlines()
    assert [" # " in line for line in lines if line.startswith("tolerance")] == [True] * len(found)


def run(tmp_path: Path, report: Report, *arguments: str) -> int:
    result = tmp_path / "bench.json"
    result.write_text(dumps(report), encoding="utf-8")
    return guard.main([str(result), *arguments])


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = tmp_path / "expected.toml"
    keys = [(one.figure, one.peer) for one in expectations(EXPECTED)]
    expected.write_text(
        "".join(
            f"[[expect]]\nfigure = '{figure}'\npeer = '{peer}'\ntolerance = 0.1\n"
            f"ratio = {against(sample(), figure, peer)}\n"
            for figure, peer in keys
        )
    )
    assert run(tmp_path, sample(), "--expected", str(expected)) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(keys) + 1


def test_what_fell_is_named_and_the_exit_code_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, one("saturate.rate", 1.0, 2.0)) == 1
    [line] = [line for line in capsys.readouterr().out.splitlines() if "fell" in line]
    assert line.split()[:2] == ["saturate.rate", "nginx"]


def test_an_empty_run_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, Report({}, {}, "now", 1.0, {}, ())) == 0
    assert "splicer: not in this run" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "expect = [",
        "",
        "expect = []",
        "expect = 3",
        "expect = [3]",
        '[[expect]]\nfigure = "http.rate"',
        '[[expect]]\nfigure = "http.rate"\npeer = "nginx"\nratio = "much"\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "nginx"\nratio = 1\ntolerance = 0.1\ncolour = 1',
        '[[expect]]\nfigure = "http.speed"\npeer = "nginx"\nratio = 1\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "splicer"\nratio = 1\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "ngnix"\nratio = 1\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "nginx"\nratio = 0\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "nginx"\nratio = nan\ntolerance = 0.1',
        '[[expect]]\nfigure = "http.rate"\npeer = "nginx"\nratio = 1\ntolerance = 1.0',
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(text)
    assert run(tmp_path, sample(), "--expected", str(path)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(str(path))
    assert told.err.count("\n") == 1


def test_no_report_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.main([str(tmp_path / "absent.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wrong_argument_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        guard.main(["--no-such\nargument"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "python -m bench.guard: unrecognized arguments: --no-such argument\n"


def test_the_default_file_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXPECTED.parents[1])
    with pytest.raises(SystemExit):
        guard.main(["--help"])
    assert " bench/results/latest/bench.json" in capsys.readouterr().out
