"""The Grafana dashboard asks only for what there is, and shows something in every panel."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.families import FAMILIES
from tests.deploy.queries import faults, labels_in, labels_of

_DASHBOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "deploy/grafana/splicer.json").read_text())
_PANELS: list[dict[str, Any]] = _DASHBOARD["panels"]
_CHARTS = [panel for panel in _PANELS if panel["type"] != "row"]
_VARIABLES: list[dict[str, Any]] = _DASHBOARD["templating"]["list"]
_TARGETS = [
    pytest.param(target, id=f"{panel['title']}-{target['refId']}") for panel in _CHARTS for target in panel["targets"]
]
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("target", _TARGETS)
def test_every_query_is_sound(target: dict[str, Any]) -> None:
    assert faults(target["expr"]) == []


@pytest.mark.parametrize("target", _TARGETS)
def test_a_legend_speaks_of_labels_that_the_result_has(target: dict[str, Any]) -> None:
    assert labels_in(target["legendFormat"]) <= labels_of(target["expr"])


def test_every_family_is_shown() -> None:
    shown = " ".join(target["expr"] for panel in _CHARTS for target in panel["targets"])
    assert [name for name in FAMILIES if not re.search(rf"\b{name}(_bucket|_count|_sum)?\b", shown)] == []


def test_panels_have_ids_of_their_own_and_a_query() -> None:
    assert [number for number, times in Counter(panel["id"] for panel in _PANELS).items() if times > 1] == []
    assert [panel["title"] for panel in _CHARTS if not panel["targets"]] == []


def test_panels_lie_within_the_page_and_not_on_each_other() -> None:
    places = [panel["gridPos"] for panel in _PANELS]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


def test_the_data_source_is_chosen_by_the_reader() -> None:
    assert {"name": "datasource", "type": "datasource", "query": "prometheus"}.items() <= _VARIABLES[0].items()
    for asking in [*_VARIABLES[1:], *_CHARTS, *(target for panel in _CHARTS for target in panel["targets"])]:
        assert asking["datasource"] == _SOURCE
    assert "__inputs" not in _DASHBOARD
    assert _DASHBOARD["schemaVersion"] == 38  # Grafana 10.0; later ones migrate it
    assert _DASHBOARD["id"] is None  # else an import overwrites whatever has the number


@pytest.mark.parametrize("variable", [pytest.param(each, id=each["name"]) for each in _VARIABLES[1:]])
def test_a_variable_lists_a_label_that_there_is(variable: dict[str, Any]) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    counted = f"rate({found[1]}[5m])" if "_total" in found[1] else found[1]
    assert faults(counted) == []
    assert found[2] in labels_of(counted)


def test_a_variable_that_is_used_is_defined() -> None:
    text = json.dumps([panel.get("targets") for panel in _CHARTS])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == {variable["name"] for variable in _VARIABLES}
