from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import pairs, scenarios
from bench.model import Figure, Report, Skipped
from bench.pairs import AFTER, BEFORE, COSTS, NoPairs, code_of, rows
from bench.peers.base import PeerFailed
from bench.peers.splicer import ROOT, Checkout
from bench.run import Options


def report(before: list[float], after: list[float], key: str = "frames.cpu_us", *skipped: Skipped) -> Report:
    scenario, _, name = key.partition(".")
    figures = [Figure(scenario, name, peer, "", values) for peer, values in ((BEFORE, before), (AFTER, after))]
    return Report({}, {BEFORE: "1", AFTER: "2"}, "now", 1.0, {}, figures, skipped, ("others were busy",))


def test_a_ratio_is_that_of_after_to_before() -> None:
    [row] = rows(report([10.0] * 9, [12.0] * 9))
    assert (row.before, row.after, row.interval.ratio) == pytest.approx((10, 12, 1.2))
    assert row.dearer


def test_a_rate_is_told_as_a_cost() -> None:
    [row] = rows(report([1000.0] * 9, [2000.0] * 9, "http.per_cpu"))
    assert (row.before, row.after, row.interval.ratio) == pytest.approx((1000, 500, 0.5))
    assert not row.dearer


def test_what_may_be_as_dear_as_before_is_not_called_dearer() -> None:
    [row] = rows(report([10.0] * 20, [9.0, 11.5] * 10))
    assert row.interval.low < 1 < row.interval.high
    assert not row.dearer
    assert "no difference that shows" in str(row)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (report([1.0] * 9, [1.0] * 9, "http.per_cpu", Skipped(AFTER, "it died", "http")), "after http: it died"),
        (report([1.0] * 9, [1.0] * 8), "frames.cpu_us: "),
        (report([1.0] * 5, [1.0] * 5), "5 pairs"),
        (report([0.0] * 9, [1.0] * 9, "http.per_cpu"), "http.per_cpu: "),
    ],
)
def test_nothing_is_said_of_what_was_not_measured(found: Report, why: str) -> None:
    with pytest.raises(NoPairs, match=why):
        rows(found)


class FakeRun:
    """Measures nothing."""

    options: Options
    found = report([10.0] * 20, [10.0] * 20)

    def __init__(self, options: Options, progress: object) -> None:
        type(self).options = options

    def execute(self) -> None: ...

    def report(self) -> Report:
        return self.found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeRun]:
    class OneTest(FakeRun): ...

    monkeypatch.setattr(pairs, "Run", OneTest)
    return OneTest


def test_both_are_asked_for_in_turns(fake: type[FakeRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs.main(["--before", str(tmp_path)]) == 0
    options = fake.options
    assert [one.name for one in options.scenarios] == ["frames", "handshakes", "http"]
    assert [one.name for one in options.peers] == [BEFORE, AFTER]
    assert (options.repeat, options.seconds, options.quick) == (20, 2.0, True)
    told = capsys.readouterr()
    assert "CPU of a frame" in told.out
    assert "1.000 (1.000 to 1.000)" in told.out
    assert "others were busy" in told.err


def test_what_is_dearer_is_an_exit_code(fake: type[FakeRun], tmp_path: Path) -> None:
    fake.found = report([10.0] * 20, [10.5] * 20)
    assert pairs.main(["http", "--before", str(tmp_path), "--pairs", "6", "--seconds", "0.5", "--full"]) == 1
    assert not fake.options.quick
    assert [one.name for one in fake.options.scenarios] == ["http"]
    assert (fake.options.repeat, fake.options.seconds) == (6, 0.5)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: --before"),
        (["--before", ".", "bulk"], "no scenario 'bulk' tells a cost; those that do: "),
        (["--before", ".", "--pairs", "5"], "argument --pairs: '5' is no whole number from 6 on"),
        (["--before", ".", "--seconds", "0"], "argument --seconds: '0' is no number of seconds"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pairs.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m bench.pairs: {line}")
    assert told.count("\n") == 1


def test_a_name_that_is_nothing_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs.main(["--before", "no-such-commit"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("no-such-commit is no directory and no commit: ")
    assert told.count("\n") == 1


def test_every_cost_is_of_a_scenario_that_there_is() -> None:
    assert {cost.key.partition(".")[0] for cost in COSTS} <= set(scenarios.ALL)


def test_a_commit_is_made_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "splicer"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "then"\n')
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.test"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    (package / "__init__.py").write_text('__version__ = "now"\n')
    monkeypatch.setattr(pairs, "ROOT", tmp_path)
    with code_of("HEAD") as there:
        assert there != tmp_path
        assert Checkout("before", there).version().startswith("then, Python 3.")
    assert not there.exists()
    with code_of(str(tmp_path)) as there:
        assert Checkout("after", there).version().startswith("now, Python 3.")


def test_a_directory_without_splicer_can_not_be_measured(tmp_path: Path) -> None:
    peer = Checkout("before", tmp_path)
    assert str(tmp_path) in (peer.missing() or "")
    with pytest.raises(PeerFailed):
        peer.version()
    assert Checkout("after", ROOT).missing() is None
