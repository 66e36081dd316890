"""The limit of descriptors: a tunnel takes two in its worker and two in the vault, so the usual 1,024 is too low."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_descriptor_limit() -> None:
    """Raise the soft RLIMIT_NOFILE to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
