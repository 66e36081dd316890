"""The page: every figure in it, every ratio the right way round, nothing that breaks a table."""

from __future__ import annotations

import attrs

from bench.model import Figure, Report, Skipped
from bench.report.markdown import README_KEYS, markdown, readme_table
from bench.report.words import keys_of
from tests.bench.report.sample import sample


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows; a sign that is escaped divides none."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.replace("\\|", "")[1:-1].split("|")] for line in lines]


def test_a_row_for_every_figure_and_a_cell_for_every_peer() -> None:
    found = rows(markdown(sample()))
    assert found[0] == ["", "splicer", "nginx", "nginx, tuned", "HAProxy", "Envoy", "Caddy"]
    assert len(found) == len(keys_of(sample())) + 2
    assert {len(row) for row in found} == {7}


def test_a_cell_has_median_spread_and_ratio() -> None:
    row = next(row for row in rows(markdown(sample())) if row[0] == "CPU for a frame (µs)")
    mine, nginx = row[1], row[2]
    assert mine.startswith("9.40 (9.12")
    assert mine.endswith("9.78)")
    assert nginx.startswith("8.10 (7.86")
    assert "**0.86" in nginx


def test_what_the_load_limited_is_marked_and_explained() -> None:
    page = markdown(sample())
    row = next(row for row in rows(page) if row[0].startswith("frame rate"))
    assert [cell.endswith("†") for cell in row] == [False, False, False, False, True, False, False]
    assert "saturate.rate of HAProxy (2 of 3)" in page
    for text in (page, readme_table(sample())):
        assert "where a peer bears it, the true ratio is lower for splicer; where splicer bears it, higher." in text
    plain = attrs.evolve(sample(), figures=[one for one in sample().figures if not one.load_bound])
    assert "†" not in markdown(plain) + readme_table(plain)


def test_what_is_missing_is_said() -> None:
    page = markdown(sample())
    assert "- Caddy, kill: it has one process" in page
    assert "- traefik: not installed \\| pip install" in page
    killed = next(row for row in rows(page) if row[0].startswith("calls lost by a killed"))
    assert len(killed[-1]) == 1


def test_text_from_elsewhere_stays_text() -> None:
    page = markdown(sample())
    assert "- The load shared its processor with the system." in page
    assert "- a \\*note\\* with \\<signs>" in page


def test_machine_versions_and_settings_are_there_and_plots_shown() -> None:
    page = markdown(sample(), ["ratios.svg"])
    for line in ("- CPU: AMD EPYC", "- Envoy: 1.40.0", "- repeat: 3", "- took: 801 s", "![ratios](ratios.svg)"):
        assert line in page


def test_the_readme_gets_twelve_rows_at_most() -> None:
    assert len(README_KEYS) <= 12
    assert README_KEYS.index("frames.p50_us") + 1 == README_KEYS.index("frames.p99_us")
    assert "reload.lost" not in README_KEYS
    table = rows(readme_table(sample()))
    assert len(table) == len(README_KEYS) + 2
    assert table[2][:3] == ["CPU for a frame (µs)", "9.40", table[2][2]]
    assert table[2][2].startswith("8.10 (0.86")


def test_the_readme_has_no_column_for_no_proxy_and_for_who_has_none_of_its_figures() -> None:
    direct = Figure("frames", "p50_us", "direct", "us", (30.0,))
    other = Figure("scale", "routes_10_us", "other", "us", (30.0,))
    report = attrs.evolve(sample(), figures=(*sample().figures, direct, other))
    for peer in "direct", "other":
        assert peer in rows(markdown(report))[0]
        assert peer not in rows(readme_table(report))[0]


def test_no_proxy_is_compared_with_none() -> None:
    direct = Figure("frames", "p50_us", "direct", "us", (30.0,))
    report = attrs.evolve(sample(), figures=(*sample().figures, direct))
    row = next(row for row in rows(markdown(report)) if row[0].startswith("latency of a frame, one way, median"))
    assert row[-1] == "30.0"


def test_a_scenario_that_nobody_ran_is_told_by_its_name() -> None:
    report = attrs.evolve(sample(), skipped=(Skipped("", "no C compiler", "frames"),))
    assert "- frames: no C compiler" in markdown(report)


def test_a_run_without_any_figure_has_a_page() -> None:
    assert markdown(Report({}, {}, "now", 0.0, {}, ())).startswith("# ")
