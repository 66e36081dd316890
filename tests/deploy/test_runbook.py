"""The runbook: its commands are sound, the loop that gives pods another image stops in time, its names are ours."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from splicer.endpoint_errors import PodUnusable
from splicer.errors import PodError
from splicer.limit_errors import EndpointFull
from splicer.tls_errors import TlsRefused
from tests.deploy.manifests import DEPLOY

_TEXT = (DEPLOY / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```sh\n(.*?)^```$", _TEXT, re.DOTALL | re.MULTILINE)
_HERE_DOCUMENTS = re.findall(r"<<'PY'\n(.*?)^PY$", _TEXT, re.DOTALL | re.MULTILINE)
[_UPGRADE] = [block for block in _BLOCKS if block.startswith("NEW=")]
[_VAULT] = re.findall(r"^VAULT='\n(.*?)'$", _UPGRADE, re.DOTALL | re.MULTILINE)
[_SYNCED] = re.findall(r"^SYNCED='\n(.*?)'$", _TEXT, re.DOTALL | re.MULTILINE)

# A cluster of two pods, which tells what is done to them. Its own answers can be replaced before the loop.
_CLUSTER = """
edges() { echo pod/a pod/b; }
sleep() { :; }
checked() { true; }
protected() { true; }
handed() { return 137; }
back() { [ -e "$2.replaced" ] && echo 4 || echo 3; }
leaving() { :; }
k() {
    case "$*" in
        *deletionTimestamp*) leaving "$2" ;;
        exec*splicer\\ check) checked ;;
        exec*python*) protected ;;
        exec*handover) echo "handover $2"; touch "${2#pod/}.replaced"; handed ;;
        patch*) echo "patch $2" ;;
        run*) true ;;
        *restartCount*) back get "${2#pod/}" ;;
        *ready*) echo true ;;
    esac
}
"""
_BOTH = ["patch pod/a", "handover pod/a", "patch pod/b", "handover pod/b"]


@pytest.mark.parametrize("block", _BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_a_shell_understands_it(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_understands_it() -> None:
    assert _HERE_DOCUMENTS
    for text in (*_HERE_DOCUMENTS, _VAULT, _SYNCED):
        compile(text, "README.md", "exec")


# ---- the loop that keeps calls of any length ----


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("", _BOTH),
        ("handed() { true; }", _BOTH),
        ('leaving() { [ "$1" = pod/b ] || echo 2026-01-01T00:00:00Z; }', _BOTH[2:]),
        ("checked() { false; }", []),
        ("protected() { false; }", ["pod/a: a worker has no vault"]),
        ("handed() { return 1; }", [*_BOTH[:2], "pod/a: handover refused, so it drains"]),
        ("back() { echo 3; }", [*_BOTH[:2], "pod/a: not back"]),
        ("back() { :; }", [*_BOTH[:2], "pod/a: not back"]),
    ],
    ids=["137", "0", "leaving", "broken-file", "no-vault", "refused", "never-back", "unknown"],
)
def test_the_upgrade_goes_on_only_when_the_pod_before_is_back(cluster: str, told: list[str], tmp_path: Path) -> None:
    script = f"{_CLUSTER}\n{cluster}\n{_UPGRADE}"
    done = subprocess.run(["bash"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.splitlines() == told


@contextmanager
def _metrics(text: str) -> Iterator[int]:
    """The port of a server that has this page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("values", "code"), [((1.0,), 0), ((1.0, 1.0), 0), ((1.0, 0.0), 1), ((0.0,), 1), ((), 1)], ids=str
)
def test_it_sees_a_worker_without_a_vault(values: tuple[float, ...], code: int) -> None:
    lines = ["# TYPE splicer_vault_connected gauge", "splicer_workers_serving 0.0"]
    lines += [f'splicer_vault_connected{{worker="{worker}"}} {value}' for worker, value in enumerate(values)]
    with _metrics("\n".join(lines)) as port:
        asked = _VAULT.replace("127.0.0.1:9902", f"127.0.0.1:{port}")
        assert asked != _VAULT
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("services", [["voice-system/voice-agent:8000", "voice-system/smart-router:8080"], []])
def test_it_shows_what_is_in_sync(services: list[str]) -> None:
    lines = [f'splicer_discovery_synced{{service="{service}"}} 1.0' for service in services]
    said = lines or ['splicer_discovery_synced{service=""} 0.0']
    with _metrics("\n".join(["# TYPE splicer_discovery_synced gauge", *said, "splicer_draining 0.0"])) as port:
        asked = _SYNCED.replace("127.0.0.1:9902", f"127.0.0.1:{port}")
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (lines or ["no discovery"], "")


# ---- names ----


def _reasons(of: type[PodError]) -> Iterator[str]:
    for kind in of.__subclasses__():
        yield kind.reason
        yield from _reasons(kind)


_LATE = {"response_deadline", "response_idle_deadline"}  # the answer has begun: no fallback follows


def test_the_table_of_failures_is_whole() -> None:
    rows = re.findall(r"^ +\| (`.*?) \|", _TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {EndpointFull.reason, TlsRefused.reason} <= named
    assert named == set(_reasons(PodError)) - _LATE - {PodUnusable.reason}  # that has a reason for each of its kinds


def test_its_alerts_are_those_that_there_are() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {"SplicerAbsent", "SplicerReloadFailed"} <= set(re.findall(r"\bSplicer[A-Z]\w+", _TEXT)) <= alerts
