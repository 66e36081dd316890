"""What a forked process has to copy."""

from __future__ import annotations

import subprocess
import sys

_CHILD = """
import os
from pathlib import Path
from splicer.template.shared_memory import loosen, settle

def private():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))

def cost():
    if os.fork() == 0:
        private()  # what reading costs is no matter
        before = private()
        new = [bytes(167) for _ in range(1000)]
        print(private() - before, flush=True)
        os._exit(0)
    os.wait()

many = [bytes(167) for _ in range(24_000)]
del many[::20]
cost()
settle()
cost()
loosen()
cost()
"""


def test_new_objects_of_a_forked_process_copy_no_page_around_a_gap() -> None:
    ran = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    scattered, together, loosened = map(int, ran.stdout.split())
    assert scattered > 2500  # KiB: 200 KiB of objects among 5 MB
    assert together < 800
    assert loosened > 2500, "the gaps can be used again"
