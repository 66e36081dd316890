"""Real load balancers, as processes: HAProxy and nginx, in front of an edge and behind it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.wire import TIMEOUT

HAPROXY, NGINX = shutil.which("haproxy"), shutil.which("nginx")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="there is no haproxy here")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

Place = tuple[str, int]


@contextmanager
def haproxy(directory: Path, text: str, *places: Place) -> Iterator[None]:
    """HAProxy with these sections, until the block is left.

    Args:
        directory: where its file goes.
        text: what follows its `defaults`.
        places: where it listens.
    """
    assert HAPROXY is not None
    file = directory / "haproxy.cfg"
    defaults = "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
    file.write_text(f"global\n  nbthread 1\n{defaults}{text}")
    with _running([HAPROXY, "-db", "-f", str(file)], directory / "haproxy.log", places):
        yield


@contextmanager
def nginx(directory: Path, text: str, *places: Place) -> Iterator[None]:
    """nginx with these contexts, as `haproxy`."""
    assert NGINX is not None
    module = f"load_module {STREAM_MODULE};\n" if "stream {" in text else ""
    file = directory / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {", f"http {{\naccess_log off;\n{temporary}")
    lines = f"daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log stderr;\n"
    file.write_text(f"{module}{lines}events {{}}\n{text}")
    with _running([NGINX, "-p", str(directory), "-c", str(file)], directory / "nginx.log", places):
        yield


@contextmanager
def _running(command: list[str], log: Path, places: tuple[Place, ...]) -> Iterator[None]:
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            late = time.monotonic() + TIMEOUT
            for address, port in places:
                while not _listens(address, port):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < late, log.read_text()
                    time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(TIMEOUT)


# Not by a connection, which would be one of the edge's too.
def _listens(address: str, port: int) -> bool:
    wanted = f"{int.from_bytes(bytes(map(int, address.split('.'))), 'little'):08X}:{port:04X}"
    return any(line.split()[1:4:2] == [wanted, "0A"] for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
