"""The machine: its description, the assignment of processors, and the CPU time and memory of processes.

A process' CPU time is the user and system time of all its threads, ended ones included, and of the children that
it has waited for. So the sum over a tree of processes never falls when a process ends. It is read from the
process' CPU clock (nanoseconds; clock_getcpuclockid(3)) because /proc/PID/stat counts in steps of 10 ms, which is
a tenth of what a good proxy uses in a second.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

_TICKS = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2  # which of a process' clocks: linux/posix-timers_types.h
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, linux/sched.h
_FLAGS, _PARENT, _REAPED = 6, 1, slice(13, 15)  # fields of /proc/PID/stat after the name, proc_pid_stat(5)
_MUCH = 0.05  # of the machine's CPU time; if others take more, the report says so


@frozen
class Processors:
    """The assignment of processors: the first ones run the proxy, the others the load.

    Args:
        allowed: the processors that this process may use.
    """

    allowed: tuple[int, ...]

    @classmethod
    def of_this_process(cls) -> Processors:
        """The processors of this process' affinity mask."""
        return cls(tuple(sorted(os.sched_getaffinity(0))))

    def proxy(self, workers: int = 1) -> frozenset[int]:
        """The proxy's processors: one for each worker."""
        return frozenset(self.allowed[:workers])

    def load(self, workers: int = 1) -> frozenset[int]:
        """The load's processors: all others, or the last one if none is left."""
        return frozenset(self.allowed[workers:] or self.allowed[-1:])

    def shared(self, workers: int = 1) -> bool:
        """Whether the load and the proxy share a processor."""
        return not self.proxy(workers).isdisjoint(self.load(workers))


@contextmanager
def pinned(cpus: Collection[int]) -> Iterator[None]:
    """Pin this thread, and all that it starts, to these processors; sched_setaffinity(2)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def description(processors: Processors) -> dict[str, str]:
    """Describe the machine: label to text."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "CPU": model[1] if model else platform.machine(),
        "processors": f"{len(processors.allowed)} of {os.cpu_count()}",
        "proxy on": _listed(processors.proxy()),
        "load on": _listed(processors.load()),
        "memory": f"{total / 2**30:.1f} GiB",
        "kind": "virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) else "hardware",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _listed(cpus: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


# ---- what processes take ----


def cpu_seconds(pids: Collection[int]) -> float:
    """The sum of the user and system times of these processes, and of the children that they have waited for."""
    return sum(map(_cpu, pids))


def settled_cpu_seconds(pids: Collection[int], patience: float = 1.0) -> float:
    """`cpu_seconds` once pending work is done: after 50 ms that took less than 1 ms, or after `patience` seconds."""
    end = time.monotonic() + patience
    used = cpu_seconds(pids)
    while time.monotonic() < end:
        time.sleep(0.05)
        before, used = used, cpu_seconds(pids)
        if used - before < 0.001:
            break
    return used


def resident(pids: Collection[int]) -> int:
    """The sum of the resident memory of these processes, in bytes.

    From smaps_rollup: the count in /proc/PID/statm is off by up to 256 KiB a processor, to keep it cheap.
    """
    return sum(_memory(pid, "Rss") for pid in pids)


def proportional(pids: Collection[int]) -> int:
    """The same, in which a page that several processes share is counted once in all."""
    return sum(_memory(pid, "Pss") for pid in pids)


def _cpu(pid: int) -> float:
    try:
        reaped = sum(map(int, _stat(pid)[_REAPED]))
    except OSError:
        return 0.0  # it has just ended; its parent's sum has it
    return _own(pid) + reaped / _TICKS


def _own(pid: int) -> float:
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def _memory(pid: int, kind: str) -> int:
    try:
        found = re.search(rf"^{kind}:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _stat(pid: int) -> list[str]:
    """The fields after the name; the name itself may hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


# ---- what others take ----


@frozen
class Load:
    """A sample of the CPU use of the whole machine.

    Args:
        when: the time on the monotonic clock.
        others: CPU seconds so far of all processes except ours and the kernel's, without those of their ended
            children (init inherits ours).
        stolen: CPU seconds so far in which the host ran something else.
    """

    when: float
    others: float
    stolen: float

    @classmethod
    def now(cls, ours: Collection[int] = ()) -> Load:
        """Take a sample now.

        Args:
            ours: further processes of the bench, besides this process and its descendants.
        """
        stats = dict(_stats())
        mine = {os.getpid(), *ours}
        while more := {pid for pid, stat in stats.items() if int(stat[_PARENT]) in mine} - mine:
            mine |= more
        others = [pid for pid, stat in stats.items() if pid not in mine and not int(stat[_FLAGS]) & _KERNEL_THREAD]
        stolen = int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / _TICKS
        return cls(time.monotonic(), sum(map(_own, others)), stolen)


@frozen
class Disturbance:
    """What others took of the machine between two samples.

    Args:
        share: of the machine's CPU time.
        who: took it.
    """

    share: float
    who: str

    @property
    def much(self) -> bool:
        """Whether figures of that time are to be doubted."""
        return self.share > _MUCH

    def __str__(self) -> str:
        return f"{self.who} took {self.share:.0%} of the machine"


def disturbance(before: Load, after: Load) -> Disturbance:
    """What others took between two samples; of other processes and the machine's host, the one that took more."""
    whole = (after.when - before.when) * (os.cpu_count() or 1)
    processes = Disturbance((after.others - before.others) / whole, "other processes")
    host = Disturbance((after.stolen - before.stolen) / whole, "the machine's host")
    return max(processes, host, key=lambda one: one.share)


def _stats() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), _stat(int(entry.name))
            except OSError:
                continue
