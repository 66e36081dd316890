"""Broken sources: file, line and remedy, and nothing else; and hostile ones cost little."""

from __future__ import annotations

from pathlib import Path

import pytest

from splicer.importer.directive import ImportFault
from splicer.importer.run import Options, run_import
from tests.importer.kit import KINDS, run, server

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [voice-agent]
  http:
    - match:
        - uri: {regex: "^/voice-agent-[0-9]+/.*"}
      route:
        - destination:
            host: voice-agent
            subset: voice-agent-${1}
"""
ROUTES = "static_resources: {listeners: []}"


def fault(kind: str, text: str, directory: Path) -> ImportFault:
    with pytest.raises(ImportFault) as caught:
        run(kind, text, directory)
    assert caught.value.file.endswith(f"source{KINDS[kind]}")
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("http {\n server {\n  listen 80;\n", 3, "a \"}\" is missing: 'http' of line 1, 'server' of line 2 are open"),
        ("events {}\n}\n", 2, '"}" closes nothing'),
        ("events {}\nhttp { server { listen 80 } }\n", 2, 'is not terminated by ";"'),
        ("events {}\nhttp { server { listen 80;\nproxy_pass http://a;\n} }\n", 3, "is not allowed here"),
        ("events {}\nhttp { server {\nlocation / { proxy_pass http://a b; } } }\n", 3, "invalid number of arguments"),
        ("events {}\nhttp {\nlog_format x 'never ends;\n}\n", 3, "unexpected end of file"),
        ("events {}\nhttp {\nresolver ${DNS_IP} valid=10s;\n}\n", 3, "${DNS_IP} is not set; add --env DNS_IP=VALUE"),
        ("events {}\nhttp {\ninclude conf.d/gone.conf;\n}\n", 3, "bring the file along"),
        ("events {}\nhttp {\ninclude source.conf;\n}\n", 3, "includes itself"),
        ("events {}\nhttp {\n\x00}\n", 3, "control character"),
        ("events {}\nhttp {}\n", None, "there is none"),
    ],
)
def test_nginx(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    found = fault("nginx", text, tmp_path) if line is not None else None
    if found is None:
        with pytest.raises(ImportFault, match=words):
            run("nginx", text, tmp_path)
        return
    assert (found.line, words in found.text) == (line, True), found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\tb: 1\n", 2, "a tab can't indent YAML"),
        ("a: {b: 1\n", 2, "expected"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
        ("a: 1\na: 2\n", 2, "'a' stands twice, first in line 1"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", 2, "merge key"),
        ("a: *gone\n", 1, "undefined alias"),
        ("port: {{ .Values.port }}\n", 1, "render"),
        ("a: {{ .Values.port }}: 8080\n", 1, "template"),
        ("- 1\n- 2\n", None, "no static_resources.listeners"),
        ("", None, "has no document"),
        (ROUTES, None, "no static_resources.listeners"),
        ('a:\n  "@type": type.googleapis.com/envoy.config.filter.v2.Http\n', 2, "is no type of Envoy's API v3"),
        ("static_resources:\n  clusters:\n  - name: a\n  - name: a\n", 4, "a second cluster 'a'"),
    ],
)
def test_envoy(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    found = fault("envoy", text, tmp_path)
    assert (found.line, words in found.text) == (line, True), found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (VIRTUAL_SERVICE, 13, "no capture of a match can stand in a destination"),
        ("kind: Gateway\nmetadata: {name: a}\n", 1, "has no apiVersion"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n" * 2, 5, "a second Service 'a'; the first is"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", None, "no VirtualService"),
        ("", None, "has no resource"),
    ],
)
def test_istio(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    found = fault("istio", text, tmp_path)
    assert (found.line, words in found.text) == (line, True), found


def test_an_unknown_cluster_is_named(tmp_path: Path) -> None:
    text = (Path(__file__).parent / "corpus/forward-proxy.yaml").read_text().replace("cluster: app }", "cluster: apq }")
    found = fault("envoy", text, tmp_path)
    assert "there is no cluster 'apq'" in found.text
    assert '"app"' in found.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_there(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ImportFault, match="No such file"):
        run_import(kind, [str(tmp_path / "none")], Options())


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases counted" in fault("envoy", "\n".join(lines), tmp_path).text


@pytest.mark.parametrize(("kind", "text"), [("envoy", "[" * 400), ("envoy", "{a: " * 100 + "1" + "}" * 100)])
def test_depth_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    fault(kind, text, tmp_path)


def test_blocks_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    assert "deep" in fault("nginx", "a {\n" * 200, tmp_path).text


def test_an_include_is_followed_and_told_with_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/b.conf").write_text("location /b { return 200 b; }\n")
    (tmp_path / "conf.d/a.conf").write_text("\nlocation /a { return 200 a; }\n")
    result = run("nginx", server("include conf.d/*.conf;"), tmp_path)
    assert [route["prefix"] for route in result.routes] == ["/a", "/b"]
    place = result.entry("location /a").directive
    assert (place.file, place.line) == (str(tmp_path / "conf.d/a.conf"), 2)


def test_mime_types_is_not_asked_for(tmp_path: Path) -> None:
    assert run("nginx", server("location / { return 204; }", before="include /nowhere/mime.types;"), tmp_path).routes
