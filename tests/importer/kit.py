"""What the tests of the importer share."""

from __future__ import annotations

import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from splicer.importer.ledger import Entry, Verdict
from splicer.importer.run import Imported, Options, run_import

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = Path(__file__).parents[2] / "docs/examples/migrate"
KINDS = {"nginx": ".conf", "envoy": ".yaml", "istio": ".yaml"}
ENVIRON = {"KUBE_DNS_IP": "34.118.224.10"}
_ISTIO = ("networking.istio.io", "gateway.networking")


@frozen
class Result:
    """An import, and its file as tables."""

    imported: Imported

    @property
    def file(self) -> dict[str, Any]:
        return tomllib.loads(self.imported.text)

    @property
    def routes(self) -> list[dict[str, Any]]:
        routes: list[dict[str, Any]] = self.file["routes"]
        return routes

    def route(self, name: str) -> dict[str, Any]:
        [found] = [route for route in self.routes if route["name"] == name]
        return found

    def entry(self, text: str) -> Entry:
        """The one directive whose text begins so."""
        [found] = [entry for entry in self.imported.entries if entry.directive.text.startswith(text)]
        return found

    def verdict(self, text: str) -> Verdict:
        return self.entry(text).verdict

    def counts(self) -> Counter[Verdict]:
        return Counter(entry.verdict for entry in self.imported.entries)


def run(kind: str, text: str, directory: Path, **options: Any) -> Result:
    """Import a text."""
    path = directory / f"source{KINDS[kind]}"
    path.write_text(text, encoding="utf-8")
    return Result(run_import(kind, [str(path)], Options(**options)))


@cache
def run_files(kind: str, *paths: Path, **options: Any) -> Result:
    return Result(run_import(kind, list(map(str, paths)), Options(environ=ENVIRON, **options)))


def kind_of(path: Path) -> str:
    if path.suffix == ".conf":
        return "nginx"
    return "istio" if any(group in path.read_text() for group in _ISTIO) else "envoy"


def server(*lines: str, before: str = "") -> str:
    """An nginx.conf with one server."""
    inner = "\n".join(lines)
    return f"events {{}}\nhttp {{\n{before}\nserver {{\nlisten 8080;\n{inner}\n}}\n}}\n"
