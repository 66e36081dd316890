"""The uptime of the edge: that of the supervisor's process, which an upgrade or a new admin process doesn't change."""

from __future__ import annotations

import os
import time
from pathlib import Path


def uptime() -> float:
    """Seconds since the supervisor was started (proc_pid_stat(5), field 22)."""
    text = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8", errors="replace")
    _, _, after_its_name = text.rpartition(")")
    started = int(after_its_name.split()[22 - 3]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
