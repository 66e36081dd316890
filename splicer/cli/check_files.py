"""The part of `splicer check --files` that reads certificates and keys, as the tls processes will."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from splicer.cli.options import fail

if TYPE_CHECKING:
    from splicer.config.schema import Config


def check_files(path: Path, config: Config) -> None:
    """Print the warnings about the files of the TLS profiles in use; fail with their faults, if there are any.

    Args:
        path: the configuration's file, for messages.
        config: the configuration.
    """
    from splicer.configfile.tls_settings import tls_settings
    from splicer.tls.store import check

    faults, warnings = check(tls_settings(config, 1))
    if faults:
        fail(*(f"{path}: {fault}" for fault in faults))
    for warning in warnings:
        print(f"{path}: warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
