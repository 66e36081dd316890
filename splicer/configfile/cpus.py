"""How many CPUs this container may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(root: Path = _CGROUP) -> int:
    """The number of CPUs in the affinity mask, or the cgroup's CPU quota, rounded up, if that is less; at least 1.

    Args:
        root: the mount point of this container's control group (cgroups(7): cpu.max of version 2, cpu.cfs_quota_us
            of version 1).
    """
    cpus = len(os.sched_getaffinity(0))
    quota = _version_2(root) or _version_1(root)
    return max(1, min(cpus, math.ceil(quota))) if quota else max(1, cpus)


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
