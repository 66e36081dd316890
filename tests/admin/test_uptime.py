from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from splicer.admin import uptime

# The middle process has a name that looks like the end of one (proc_pid_stat(5)).
_PARENT = """
import subprocess, sys, time
open("/proc/self/comm", "w").write("a) S 1 2 (b")
time.sleep(0.2)
line = [sys.executable, "-c", "from splicer.admin.uptime import uptime; print(uptime())"]
age = float(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
print(age)
"""
_TICK = 1 / os.sysconf("SC_CLK_TCK")


def test_it_is_the_age_of_the_process_that_has_started_this_one() -> None:
    root = Path(__file__).parents[2]
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    done = subprocess.run([sys.executable, "-c", _PARENT], check=True, capture_output=True, text=True, cwd=root)
    whole = time.clock_gettime(time.CLOCK_BOOTTIME) - before
    told = float(done.stdout)
    assert 0.2 - _TICK <= told <= whole + _TICK


def test_it_grows_as_time_does() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    first = uptime.uptime()
    time.sleep(0.05)
    second = uptime.uptime()
    assert 0.05 <= second - first <= time.clock_gettime(time.CLOCK_BOOTTIME) - before
