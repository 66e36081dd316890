"""`splicer run --to HOST:PORT`: the configuration for one address, made without a file of the user's.

As `caddy reverse-proxy --to` does, all HTTP requests and WebSockets go to one address.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from splicer.config.addresses import listen_address
from splicer.config.load import load
from splicer.config.scalars import BadValue
from splicer.config.upstreams import upstream_address
from splicer.model import authority

LISTEN = ":8080"
ADMIN = "127.0.0.1:9901"

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - mkstemp(3) makes a file of its own there
_TEXT = """\
# splicer run --to {to}
[server]
listen = "{listen}"
admin = "{admin}"

[upstreams.app]
address = "{to}"

[[routes]]
name = "all"
prefix = "/"
upgrade = ["websocket"]
upstream = "app"
"""


def upstream_of(value: str) -> str:
    """The address of ``--to``: ":8000" is a port of this machine, as with Caddy.

    Raises:
        BadValue: it is no "host:port".
    """
    if value.isdecimal():
        raise BadValue(f'write ":{value}" for a port of this machine')
    host, port = upstream_address(f"127.0.0.1{value}" if value.startswith(":") else value)
    if host.captures:
        raise BadValue("a capture needs a route of its own; write a file")
    return authority(host.text, port)


def listen_of(value: str) -> str:
    """The address of ``--listen``.

    Raises:
        BadValue: it is no "address:port".
    """
    return str(listen_address(value))


def admin_of(value: str) -> str:
    """The address of ``--admin``, or "off".

    Raises:
        BadValue: it is neither.
    """
    return value if value == "off" else listen_of(value)


def text_for(to: str, listen: str, admin: str) -> str:
    """The routing.toml that sends everything to one address.

    Args:
        to: from `upstream_of`.
        listen: from `listen_of`.
        admin: from `admin_of`.

    Raises:
        ConfigError: these addresses can't stand in one file.
    """
    text = _TEXT.format(to=to, listen=listen, admin=admin)
    load(text, name=f"--to {to}", environ={})
    return text


# The supervisor's children read the file at a start, a reload and an upgrade, so it has to stay as long as the edge.
def keep(text: str, places: Sequence[str]) -> Path | None:
    """Write the text to a new file in the first place where that is possible; None: it is possible nowhere.

    Args:
        text: the configuration.
        places: directories to try; see `directories`.
    """
    for place in places:
        with suppress(OSError):
            fd, path = tempfile.mkstemp(prefix="splicer-run-", suffix=".toml", dir=place)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            return Path(path)
    return None


def directories(environ: Mapping[str, str]) -> list[str]:
    """Where the file may be kept: the user's directory for running programs, shared memory, or $TMPDIR and the like."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    found = [runtime, _SHARED_MEMORY] if runtime else [_SHARED_MEMORY]
    with suppress(FileNotFoundError):  # a container with a read-only root may have no directory for temporary files
        found.append(tempfile.gettempdir())
    return found
