"""`splicer top`: the live picture in a terminal."""

from __future__ import annotations

from splicer.cli.options import DEFAULT, Admin, ConfigFile, asking


def top(config: ConfigFile = DEFAULT, admin: Admin = None) -> None:
    """Watch calls, pods and workers; close calls, drain pods.

    Without a terminal it prints the calls once.
    """
    from splicer.ops.top.session import top as watch

    with asking(config, admin) as client:
        watch(client)
