"""Finding the admin address: from the option, or from the file."""

from __future__ import annotations

import os
from pathlib import Path

from splicer.config.addresses import is_host_name, is_ip, port_number, split_port
from splicer.config.scalars import BadValue, show
from splicer.configfile.read import read_config
from splicer.errors import ConfigError
from splicer.ops.failure import AdminFailed

_REMEDY = "say --admin HOST:PORT"


def admin_address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9901", "[::1]:9901" or "name:9901".

    Raises:
        BadValue: the text is none of these.
    """
    host, port = split_port(text)
    if port is None:
        raise BadValue(f'{show(text)} has no port; write for example "127.0.0.1:9901"')
    if not is_ip(host) and not is_host_name(host):
        raise BadValue(f"{show(host)} is neither an IP address nor a host name")
    return host, port_number(port)


def admin_of(path: Path) -> tuple[str, int]:
    """Host and port of the admin address that a routing.toml names.

    Raises:
        AdminFailed: the file names no usable address, or has faults.
    """
    try:
        admin = read_config(path, os.environ).server.admin
    except ConfigError as error:
        raise AdminFailed(*error.faults, f"to go without the file, {_REMEDY}") from error
    if admin is None:
        raise AdminFailed(f'{path}: admin = "off": there is no address to ask; if splicer has one by now, {_REMEDY}')
    if not admin.port:
        raise AdminFailed(f'{path}: admin = "{admin}" leaves the port open; {_REMEDY}')
    return admin.host, admin.port
