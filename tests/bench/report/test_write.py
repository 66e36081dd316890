"""What a run leaves on disk."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import attrs
import pytest

from bench.model import Figure, Report
from bench.report import plots
from bench.report.store import read
from bench.report.words import MINE
from bench.report.write import LATEST, RESULTS, write
from tests.bench.report.sample import sample

SCENARIOS = {"frames", "even", "burst", "saturate", "bulk", "handshakes", "storm", "idle", "start", "http"}
SCENARIOS |= {"reload", "kill", "scale", "tls"}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matplotlib."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("plain")
def test_without_matplotlib_the_rest_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write(sample(), tmp_path / "results")
    assert [path.name for path in written] == ["bench.json", "report.md"]
    assert read(written[0]) == sample()
    assert "![" not in written[1].read_text()
    assert capsys.readouterr().err == "no plots: matplotlib is not installed\n"


@pytest.mark.parametrize(
    "error", [ImportError("numpy is\n\nbroken"), OSError("no space"), RuntimeError("a font")], ids=str
)
def test_a_broken_matplotlib_costs_the_plots_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def draw(report: Report, directory: Path) -> list[Path]:
        assert (directory / "report.md").read_text().startswith("# ")
        raise error

    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plots, "draw", draw)
    written = write(sample(), tmp_path)
    assert [path.name for path in written] == ["bench.json", "report.md"]
    assert capsys.readouterr().err == f"no plots: {type(error).__name__}: {' '.join(str(error).split())}\n"


def test_a_matplotlib_that_cannot_be_imported_is_broken_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "path" / "matplotlib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import no_such_module")
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(package.parent))
    assert len(write(sample(), tmp_path / "results")) == 2
    assert capsys.readouterr().err == "no plots: ModuleNotFoundError: No module named 'no_such_module'\n"


def test_results_are_beside_the_bench_wherever_it_is_run() -> None:
    assert RESULTS.is_absolute()
    assert RESULTS.parent == Path(plots.__file__).parents[1]
    assert LATEST.is_relative_to(RESULTS)


@pytest.mark.usefixtures("plain")
def test_the_latest_run_is_the_last_one_written(tmp_path: Path) -> None:
    write(sample(), tmp_path)
    second = attrs.evolve(sample(), started="2026-11-24T08:00:00+00:00")
    write(second, tmp_path)
    assert read(tmp_path / "latest" / "bench.json") == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2026-11-23T12-57-37+00-00",
        "2026-11-24T08-00-00+00-00",
        "latest",
    ]


@pytest.mark.usefixtures("plain")
def test_a_run_is_never_written_elsewhere(tmp_path: Path) -> None:
    [data, _] = write(attrs.evolve(sample(), started="../../away"), tmp_path / "results")
    assert data.parent.parent == tmp_path / "results"


@pytest.mark.slow
def test_plots_are_drawn_and_shown(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = write(sample(), tmp_path)
    drawn = {path for path in written if path.suffix in (".png", ".svg")}
    names = {"ratios", "scale-routes", *SCENARIOS}
    assert {path.name for path in drawn} == {f"{name}{suffix}" for name in names for suffix in (".png", ".svg")}
    for path in drawn:
        if path.suffix == ".svg":
            ElementTree.parse(path)
            assert f"]({path.name})" in written[1].read_text()
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values",
    [(0.0,), (-3.0, 2.0, 1.0), (1e-9, 1e12), (float("inf"),), (float("nan"),)],
    ids=lambda values: str(values[0]),
)
def test_any_numbers_can_be_drawn(tmp_path: Path, values: tuple[float, ...]) -> None:
    pytest.importorskip("matplotlib")
    names = [("frames", "cpu_us"), ("scale", "routes_10_us")]
    figures = [Figure(*name, peer, "us", values) for name in names for peer in (MINE, "nginx", "somebody")]
    assert len(write(Report({}, {}, "now", 1.0, {}, tuple(figures)), tmp_path)) >= 4


def words(path: Path) -> str:
    """The texts of an SVG, which has them as comments beside their outlines."""
    return " ".join(line.strip() for line in path.read_text().splitlines() if line.strip().startswith("<!--"))


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "bars", "names"), [("haproxy", 1, 0), ("splicer", 0, 1)])
def test_the_plot_of_ratios_says_whom_the_load_limited(tmp_path: Path, peer: str, bars: int, names: int) -> None:
    pytest.importorskip("matplotlib")
    figures = [
        attrs.evolve(one, load_bound=int((one.key, one.peer) == ("http.rate", peer))) for one in sample().figures
    ]
    write(attrs.evolve(sample(), figures=figures), tmp_path)
    text = words(tmp_path / "latest" / "ratios.svg")
    assert text.count("× † -->") == bars  # noqa: RUF001 - as a ratio has it
    assert text.count("rate of HTTP requests † -->") == names
    assert "the true ratio is lower for splicer" in text
    assert "bars are cut at 32" in text
