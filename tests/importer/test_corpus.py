"""The configurations of the documents, and others like public ones, are imported whole, and every directive is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from splicer.comparison.outcome import WHERE, Answers
from splicer.comparison.questions import questions
from splicer.config.load import load
from splicer.importer.ledger import UNKNOWN, Verdict
from splicer.importer.nginx.source import parse_files, walk
from splicer.importer.report import as_json, as_text
from splicer.importer.yaml_source import documents
from tests.importer.kit import CORPUS, ENVIRON, EXAMPLES, kind_of, run_files

FILES = sorted([*CORPUS.iterdir(), *EXAMPLES.iterdir()])
GUIDES = (EXAMPLES / "guide-envoy.yaml", EXAMPLES / "guide-istio.yaml")
GUIDE = [EXAMPLES / name for name in ("guide-nginx.conf", "guide-envoy.yaml", "production-nginx.conf")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_that_is_made_loads(path: Path) -> None:
    result = run_files(kind_of(path), path)
    assert load(result.imported.text, environ={}).routes
    assert all(line.isprintable() for line in as_text(result.imported.entries, result.imported.notices))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_directive_stands_in_the_report_once(path: Path) -> None:
    kind = kind_of(path)
    if kind == "nginx":
        parsed = Counter((each.line, each.text) for each in walk(parse_files([str(path)], ENVIRON)))
    else:
        leaves = [leaf for document in documents(str(path)) for leaf in document.leaves()]
        parsed = Counter((leaf.line, leaf.text) for leaf in leaves)
    told = as_json(run_files(kind, path).imported.entries, [])["directives"]
    assert Counter((each["line"], each["text"]) for each in told) == parsed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_lost_has_a_remedy(path: Path) -> None:
    lost = [entry for entry in run_files(kind_of(path), path).imported.entries if entry.verdict is Verdict.LOST]
    assert [entry.directive.text for entry in lost if not entry.note or entry.note == UNKNOWN] == []


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.name)
def test_nothing_of_the_guide_is_lost(path: Path) -> None:
    assert run_files(kind_of(path), path).counts()[Verdict.LOST] == 0


def test_the_guides_mesh_gateway_alone_is_lost() -> None:
    result = run_files("istio", EXAMPLES / "guide-istio.yaml")
    lost = [entry for entry in result.imported.entries if entry.verdict is Verdict.LOST]
    assert [entry.directive.text for entry in lost] == ["spec.gateways: mesh"]


@pytest.mark.parametrize("name", ["guide-envoy.yaml", "guide-istio.yaml"])
def test_ten_routes_for_pods_become_two(name: str) -> None:
    path = EXAMPLES / name
    folded, whole = run_files(kind_of(path), path), run_files(kind_of(path), path, fold=False)
    assert len(whole.routes) - len(folded.routes) == 8
    assert [
        route["regex"] for route in folded.routes if route["upstream" if "upstream" in route else "name"] == "pod"
    ] == [
        "^/ws/pod/(?<pod>voice-agent-[0-9]+)/(?<rest>.*)$",
        "^/(?<pod>voice-agent-[0-9]+)/(?<rest>.*)$",
    ]
    assert folded.file["upstreams"]["pod"]["address"] == "{pod}.voice-agent.voice-system.svc.cluster.local:8000"
    assert any("also matches pods" in notice for notice in folded.imported.notices)


def test_the_guides_istio_does_with_calls_what_its_envoy_does() -> None:
    """There is no Istio to ask: its rules are held to those of the Envoy that `tests/parity` asks."""
    envoy, istio = (load(run_files(kind_of(path), path).imported.text, environ={}) for path in GUIDES)
    hosts = ("clairvoyance.breezelabs.app", "buddy.breezelabs.app")
    asked = [question for question in questions(envoy, istio) if question.host in hosts]
    ask = [Answers(config).ask for config in (envoy, istio)]
    compared = 0
    for question in asked:
        (_, was), (_, now) = (each(question) for each in ask)
        if not question.path.startswith(("/health", "/ready")):  # the guide's Istio leads these to the smart router
            assert {key: was.get(key) for key in WHERE} == {key: now.get(key) for key in WHERE}, question
            compared += 1
    assert compared > 50


def test_a_directive_that_many_routes_share_is_told_once() -> None:
    result = run_files("nginx", CORPUS / "per-node.conf")
    entry = result.entry("proxy_read_timeout")
    assert len({place.partition(".")[0] for place in entry.where}) == 2
