import os
import signal
from pathlib import Path

import pytest

from bench import command
from bench.model import Figure, Report, Skipped
from bench.progress import Progress
from bench.run import Options

FIGURE = Figure("frames", "cpu_us", "splicer", "us", (5.0,))


class FakeRun:
    """Does nothing, or has a signal come in between."""

    options: Options
    signal: int | None = None
    ended = False
    skipped: tuple[Skipped, ...] = ()

    def __init__(self, options: Options, progress: Progress) -> None:
        type(self).options = options

    def execute(self) -> None:
        if self.signal:
            try:
                os.kill(os.getpid(), self.signal)
            finally:
                os.kill(os.getpid(), self.signal)  # an impatient user's second one, while all is being ended
                type(self).ended = True

    def report(self) -> Report:
        return Report({}, {}, "2026-01-01T00:00:00+00:00", 1.0, {}, [FIGURE], self.skipped)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeRun]:
    class OneTest(FakeRun): ...

    monkeypatch.setattr(command, "Run", OneTest)
    return OneTest


def names(options: Options) -> tuple[list[str], list[str]]:
    return [one.name for one in options.scenarios], [one.name for one in options.peers]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["storms"], "no scenario 'storms'; there is frames, even, burst, "),
        (["--peers", "nginx,apache"], "no peer 'apache'; there is splicer, nginx, "),
        (["--seconds", "0"], "argument --seconds: '0' is no number of seconds, or less than 0.1"),
        (["--seconds", "nan"], "argument --seconds: 'nan' is no number of seconds, or less than 0.1"),
        (["--repeat", "none"], "argument --repeat: 'none' is no whole number above 0"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m bench: {line}")
    assert told.count("\n") == 1


def test_what_there_is_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out
    assert "  handshakes  32 clients" in told
    assert "  splicer     0." in told


def test_without_names_everything_is_measured(fake: type[FakeRun], tmp_path: Path) -> None:
    assert command.main(["--out", str(tmp_path)]) == 0
    scenarios, peers = names(fake.options)
    assert scenarios == [
        "frames",
        "even",
        "burst",
        "saturate",
        "bulk",
        "handshakes",
        "storm",
        "idle",
        "tls",
        "start",
        "http",
        "reload",
        "kill",
        "scale",
    ]
    assert peers[0] == "splicer"
    assert (fake.options.repeat, fake.options.seconds, fake.options.quick) == (None, None, False)


def test_splicer_is_always_among_the_peers(fake: type[FakeRun], tmp_path: Path) -> None:
    arguments = ["http", "frames", "--peers", "envoy,nginx", "--seconds", "2.5", "--quick", "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    assert names(fake.options) == (["frames", "http"], ["splicer", "nginx", "envoy"])
    assert (fake.options.repeat, fake.options.seconds, fake.options.quick) == (1, 2.5, True)


def test_the_report_is_written_and_its_files_are_named(
    fake: type[FakeRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["all", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out.split()
    assert told
    assert all(Path(path).is_file() for path in told)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_what_it_has(
    number: int, fake: type[FakeRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inherited = signal.signal(number, signal.default_int_handler)  # under nohup, SIGHUP would be ignored
    try:
        fake.signal = number
        assert command.main(["--out", str(tmp_path)]) == 130
        assert fake.ended
        assert capsys.readouterr().out
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, inherited)


def test_a_splicer_that_could_not_be_measured_is_a_failure(
    fake: type[FakeRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.skipped = (Skipped("splicer", "ended by itself", "storm"),)
    assert command.main(["--out", str(tmp_path)]) == 1
    assert "skipped: splicer in storm: ended by itself\n" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told_in_one_line(
    fake: type[FakeRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert command.main(["--out", str(tmp_path / "file")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("--out: ")
    assert not hasattr(fake, "options")  # nothing was measured in vain
