"""Two clients that were not written here see in the tests' API server what was put into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.kit.apiserver import ApiServer, Pod, api_server

pytestmark = pytest.mark.slow

_TIMEOUT = 60  # seconds, on a busy machine
_KUBECTL = shutil.which("kubectl")
_NO_KUBECTL = pytest.mark.skipif(_KUBECTL is None, reason="kubectl is not installed")
_PODS = [
    Pod("pod-0", "10.0.0.1"),
    Pod("pod-1", "10.0.0.2", "fd00::2", ready=False),
    Pod("pod-2", "10.0.0.3", terminating=True, zone=None),
]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as server:
        server.sync("voice-agent", _PODS)
        server.sync("smart-router", [Pod("router-0", "10.1.0.1")])
        yield server


def _command(server: ApiServer, *arguments: str) -> list[str]:
    assert _KUBECTL is not None
    token = server.token_file.read_text()
    options = [f"--server={server.url}", f"--token={token}", f"--certificate-authority={server.ca_file}"]
    return [_KUBECTL, "--kubeconfig=/dev/null", *options, "--namespace=voice", *arguments]


def _seen(items: list[Any]) -> list[tuple[str, str, bool, bool, bool]]:
    """Host name, address and conditions of all endpoints."""
    return sorted(
        (each["hostname"], each["addresses"][0], *(each["conditions"][name] for name in _CONDITIONS))
        for item in items
        for each in item["endpoints"] or ()
    )


_CONDITIONS = ("ready", "serving", "terminating")
_EXPECTED = [
    ("pod-0", "10.0.0.1", True, True, False),
    ("pod-1", "10.0.0.2", False, False, False),
    ("pod-1", "fd00::2", False, False, False),
    ("pod-2", "10.0.0.3", False, True, True),
]


@_NO_KUBECTL
def test_kubectl_lists(server: ApiServer) -> None:
    selector = "--selector=kubernetes.io/service-name=voice-agent"
    command = _command(server, "get", "endpointslices", selector, "--output=json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert _seen(json.loads(done.stdout)["items"]) == _EXPECTED
    [name] = [each["metadata"]["name"] for each in server.slices("smart-router")]
    done = subprocess.run(
        _command(server, "get", f"endpointslice/{name}"), capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    assert name in done.stdout
    server.forbid()
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    assert done.returncode == 1
    assert "(Forbidden): endpointslices.discovery.k8s.io is forbidden: User" in done.stderr


@_NO_KUBECTL
def test_kubectl_watches(server: ApiServer, tmp_path: Path) -> None:
    options = ("get", "endpointslices", "--selector=kubernetes.io/service-name in (smart-router)")
    command = _command(server, *options, "--watch", "--output-watch-events", "--output=json")
    with _running(command, tmp_path) as output:
        _wait(lambda: server.watching() == 1)
        _wait(lambda: _bookmarked(server, output))
        server.sync("smart-router", [Pod("router-0", "10.1.0.1"), Pod("router-1", "10.1.0.2")])
        server.sync("smart-router", [])
        server.remove("smart-router")
        _wait(lambda: b"DELETED" in output.read_bytes())
    events = list(_objects(output.read_text()))
    changes = [event for event in events if event["type"] != "BOOKMARK"]  # one or more
    assert [event["type"] for event in changes] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    assert [len(_seen([event["object"]])) for event in changes] == [1, 2, 0, 0]


@contextmanager
def _running(command: list[str], directory: Path) -> Iterator[Path]:
    """A process, and the file with its output."""
    output = directory / "output"
    with output.open("wb") as file, subprocess.Popen(command, stdout=file) as process:
        try:
            yield output
        finally:
            process.terminate()


def _bookmarked(server: ApiServer, output: Path) -> bool:
    server.bookmark()
    return b"BOOKMARK" in output.read_bytes()


def _wait(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        thing, end = decoder.raw_decode(text)
        yield thing
        text = text[end:]


_KR8S = """
import json, sys, kr8s, trio

async def main():
    api = await kr8s.asyncio.api(kubeconfig=sys.argv[1])
    kind = kr8s.objects.new_class(
        kind="EndpointSlice", version="discovery.k8s.io/v1", namespaced=True, plural="endpointslices"
    )
    wanted = {"namespace": "voice", "label_selector": {"kubernetes.io/service-name": "voice-agent"}}
    async for each in api.async_get(kind, **wanted):
        print(json.dumps({"type": "LISTED", "object": each.raw}), flush=True)
    async for event, each in api.async_watch(kind, **wanted):
        print(json.dumps({"type": event, "object": each.raw}), flush=True)

trio.run(main)
"""


def test_kr8s_lists_and_watches(server: ApiServer, tmp_path: Path) -> None:
    cluster = {"server": server.url, "certificate-authority": str(server.ca_file)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": server.token_file.read_text()}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "voice"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    with _running([sys.executable, "-c", _KR8S, str(tmp_path / "config")], tmp_path) as output:
        _wait(lambda: output.read_bytes().count(b"ADDED") == 2)
        server.sync("voice-agent", _PODS[:1])
        _wait(lambda: b"DELETED" in output.read_bytes() and b"MODIFIED" in output.read_bytes())
    events = list(_objects(output.read_text()))
    assert _seen([event["object"] for event in events if event["type"] == "LISTED"]) == _EXPECTED
    deleted = [event["object"]["addressType"] for event in events if event["type"] == "DELETED"]
    assert deleted == ["IPv6"]
    assert _seen([event["object"] for event in events if event["type"] == "MODIFIED"]) == _EXPECTED[:1]


_LIST = """
import sys, trio
from splicer.discovery.api import Api
from splicer.discovery.place import Place

async def main():
    with trio.fail_after(60):
        answer = await Api(Place.at(sys.argv[1], token_file=sys.argv[2], ca_file=sys.argv[3])).get(sys.argv[4])
        print(sys.version_info[1], answer.status, len(await answer.body()) > 1000)
        await answer.aclose()

trio.run(main)
"""


def test_python_3_13_lists(server: ApiServer) -> None:
    """It sets VERIFY_X509_STRICT by itself, and the server's CA has no key identifiers."""
    if shutil.which("python3.13") is None or subprocess.run(["python3.13", "-c", ""], check=False).returncode:
        pytest.skip("python3.13 is not installed")
    target = "/apis/discovery.k8s.io/v1/namespaces/voice/endpointslices"
    path = f"{Path(__file__).parents[2]}:{Path(trio.__file__).parents[1]}"
    done = subprocess.run(
        ["python3.13", "-c", _LIST, server.url, str(server.token_file), str(server.ca_file), target],
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert done.stdout == "13 200 True\n", done.stderr
