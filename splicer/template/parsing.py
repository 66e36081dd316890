"""The configuration is parsed in the template, so that those that are forked later have it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from splicer.configfile.inherited import inherited, keep
from splicer.configfile.read import read_file
from splicer.ipc.wire import read_text
from splicer.template.shared_memory import loosen, settle


def parse(path: str, fd: int | None) -> None:
    """Parse a configuration; one that can't be read or has faults is left to those that need it. Never raises.

    Args:
        path: the file.
        fd: the descriptor of its text, which is closed; None: the file is read.
    """
    with suppress(Exception):  # whatever it is, the process that needs the configuration reports it
        text = read_file(Path(path))[0] if fd is None else read_text(fd)
        if inherited(text, os.environ) is None:
            loosen()
            keep(text, os.environ)
            settle()
