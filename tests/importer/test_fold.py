"""Which routes are folded, and which requests the folded ones take."""

from __future__ import annotations

from pathlib import Path

import pytest

from splicer.config.load import load
from splicer.routing.table import RouteTable
from tests.importer.kit import run, server

HOST = "proxy_set_header Host $host;"


def location(prefix: str, host: str, more: str = "") -> str:
    return f"location {prefix} {{ {HOST} {more} proxy_pass http://{host}:80/; }}"


def names(directory: Path, *lines: str) -> list[str]:
    return [route["name"] for route in run("nginx", server(*lines), directory).routes]


def test_numbered_pods_are_an_expression_and_others_a_list(tmp_path: Path) -> None:
    numbered = [location(f"/x/a-{n}/", f"a-{n}.pods.x") for n in range(3)]
    [route] = run("nginx", server(*numbered), tmp_path).routes
    assert route["regex"] == "^/x/(?<pod>a-[0-9]+)/(?<rest>.*)$"
    named = [location(f"/x/{name}/", f"{name}.pods.x") for name in ("red", "blue")]
    [route] = run("nginx", server(*named), tmp_path).routes
    assert route["regex"] in ("^/x/(?<pod>red|blue)/(?<rest>.*)$", "^/x/(?<pod>blue|red)/(?<rest>.*)$")


@pytest.mark.parametrize(
    "lines",
    [
        [location("/x/a-1/", "a-1.pods.x"), location("/x/a-2/", "a-2.other.x")],
        [location("/x/a-1/", "a-1.pods.x"), location("/y/a-2/", "a-2.pods.x")],
        [location("/x/a-1/", "a-1.pods.x"), location("/x/a-2/", "a-2.pods.x", "proxy_read_timeout 5s;")],
        [location("/x/a-1/", "a-2.pods.x"), location("/x/a-2/", "a-1.pods.x")],
        [location("/x/a-1/", "a-1"), location("/x/a-2/", "a-2")],
    ],
)
def test_others_stay_apart(tmp_path: Path, lines: list[str]) -> None:
    assert len(names(tmp_path, *lines)) == 2


def test_nothing_is_folded_over_a_route_between(tmp_path: Path) -> None:
    def rule(match: str, action: str) -> str:
        return f"  - {{match: [{{uri: {match}}}], {action}}}\n"

    def pod(name: str) -> str:
        return f"rewrite: {{uri: /}}, route: [{{destination: {{host: {name}.p.x, port: {{number: 80}}}}}}]"

    text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
    text += "spec:\n  hosts: ['*']\n  http:\n"
    text += rule("{prefix: /x/a-1/}", pod("a-1"))
    text += rule("{regex: /x/a-2/y.*}", "directResponse: {status: 403}")
    text += rule("{prefix: /x/a-2/}", pod("a-2"))
    assert len(run("istio", text, tmp_path).routes) == 3
    apart = text.replace("{regex: /x/a-2/y.*}", "{exact: /health}")
    assert len(run("istio", apart, tmp_path).routes) == 2


def test_a_folded_route_takes_what_its_parts_took(tmp_path: Path) -> None:
    lines = [location(f"/x/a-{n}/", f"a-{n}.pods.x") for n in range(3)]
    tables = [
        RouteTable(load(run("nginx", server(*lines), tmp_path, fold=fold).imported.text, environ={}).routes)
        for fold in (True, False)
    ]
    for path in ("/x/a-0/", "/x/a-1/y/z", "/x/a-2//"):
        hosts = []
        for table in tables:
            match = table.match("GET", "a.example", path)
            assert match.route.upstream is not None
            hosts.append(match.route.upstream.host.render(match.captures))
        assert hosts[0] == hosts[1]
