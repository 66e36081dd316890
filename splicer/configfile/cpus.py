"""How many CPUs this container may use."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


VARIABLE = "SPLICER_CPUS"


def usable_cpus(root: Path = _CGROUP, environ: Mapping[str, str] = os.environ) -> int:
    """The number of CPUs in the affinity mask, or the cgroup's CPU quota, rounded up, if that is less; at least 1.

    A container without a quota may use all CPUs of its node, though it has requested few. So an environment variable
    may set a lower number.

    Args:
        root: the mount point of this container's control group (cgroups(7): cpu.max of version 2, cpu.cfs_quota_us
            of version 1).
        environ: may have ``SPLICER_CPUS``.

    Raises:
        ValueError: the variable is no whole number of CPUs.
    """
    cpus = len(os.sched_getaffinity(0))
    quota = _version_2(root) or _version_1(root)
    if quota:
        cpus = min(cpus, math.ceil(quota))
    if most := environ.get(VARIABLE, ""):
        if not most.isdecimal() or not int(most):
            raise ValueError(f"{VARIABLE}={most}: must be a whole number of CPUs, at least 1")
        cpus = min(cpus, int(most))
    return max(1, cpus)


def _version_2(root: Path) -> float | None:
    words = _words(root / "cpu.max")
    return None if len(words) != 2 or words[0] == "max" else int(words[0]) / int(words[1])


def _version_1(root: Path) -> float | None:
    quota, period = _words(root / "cpu/cpu.cfs_quota_us"), _words(root / "cpu/cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
