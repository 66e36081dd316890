"""A real template whose processes tell what they are, and a supervisor's part for it in this process.

with stand() as template:
    told = template.fork()
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from splicer.ipc import wire
from splicer.ipc.arguments import StartedTemplate, TemplateArguments
from splicer.ipc.codec import to_json
from splicer.supervisor import launch
from splicer.supervisor.template_process import TemplateProcess
from splicer.vault.protocol import channel
from tests.supervisor.harness import Said

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_TIMEOUT = 30.0  # seconds
_CHECKOUT = Path(launch.__file__).resolve().parents[2]
TELLS = "tells"  # the program
_PROGRAM = """
import gc, json, os, random, signal, sys, time, uuid
import trio
from splicer.net.dns_names import RdataType
from splicer.net.dns_wire import make_query
from splicer.session.identity import identities
import splicer.template.__main__ as template
from splicer.configfile.inherited import _Kept

kept = random.Random()  # as a library may have one

def tell():
    arguments = json.loads(sys.argv[1])
    late = time.monotonic() + 30
    while os.getppid() != arguments["parent"] and time.monotonic() < late:  # the process between has not ended yet
        time.sleep(0.001)
    found = {
        "random": [random.random(), kept.random(), trio._core._run._r.random()],
        "ids": [next(identities()), uuid.uuid4().hex, make_query(bytes(1), RdataType.A, None).wire.hex()],
        "fds": sorted(fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}")),
        "given": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in arguments["fds"]},
        "inheritable": [os.get_inheritable(fd) for fd in arguments["fds"]],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "pids": [os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0)],
        "threads": len(os.listdir("/proc/self/task")),
        "frozen": gc.get_freeze_count() > 10_000,
        "enabled": gc.isenabled(),
        "words": sys.argv[1:],
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
        "parsed": _Kept.parsed and [route.name for route in _Kept.parsed.config.routes],
    }
    os.write(arguments["answer"], json.dumps(found).encode())
    sys.exit(arguments["code"])

programs = template.load()
template.load = lambda: {**programs, "tells": tell}
template.main()
"""


@define
class Stand:
    """See the module."""

    part: TemplateProcess
    said: Said
    selector: selectors.BaseSelector
    pid: int

    def turn(self) -> None:
        for key, mask in self.selector.select(0.05):
            key.data(mask)

    def load(self) -> None:
        """Wait until it can fork."""
        late = time.monotonic() + _TIMEOUT
        while not self.part._loaded:
            assert time.monotonic() < late
            self.turn()

    def parse(self, path: Path, text: str) -> None:
        """Have it parse a configuration, and wait until it has."""
        self.part.parse(path, text)
        late = time.monotonic() + _TIMEOUT
        while self.part._parsing:
            assert time.monotonic() < late
            self.turn()

    def reap(self) -> None:
        """Wait for the template's end, and have the part hear of it."""
        self.part.died(*os.waitpid(self.pid, 0))

    def start(self, fds: Sequence[int], answer: int, *, group: bool = False, code: int = 0) -> int:
        """Fork one that tells, and return its pid."""
        words = [json.dumps({"fds": list(fds), "answer": answer, "code": code, "parent": os.getpid()})]
        return self.part.start(TELLS, words, {fd: fd for fd in (*fds, answer)}, group=group)

    def fork(self, fds: Sequence[int] = (), *, group: bool = False, code: int = 0) -> tuple[int, dict[str, Any]]:
        """Fork one that tells, wait for its end, and return its pid and what it has told."""
        read_fd, write_fd = os.pipe()
        try:
            pid = self.start(fds, write_fd, group=group, code=code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
            found: dict[str, Any] = json.loads(os.read(read_fd, 1 << 16))
        finally:
            os.close(read_fd)
            os.close(write_fd)
        return pid, {**found, "answer": write_fd}


@contextmanager
def stand() -> Iterator[Stand]:
    """Start a template; in the block, this process inherits the orphans of its descendants."""
    ours, its = channel()
    words = [sys.executable, "-c", _PROGRAM, to_json(TemplateArguments(its.fileno(), wire.VERSION))]
    environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT)}
    os.set_inheritable(its.fileno(), True)
    pid = os.posix_spawn(words[0], words, environ, setsigmask=launch.SIGNALS)
    its.close()
    said = Said()
    with selectors.DefaultSelector() as selector, pytest.MonkeyPatch.context() as patches:
        patches.setattr(launch, "FORKED", launch.FORKED | {TELLS})
        part = TemplateProcess(selector, said)
        part.begin(StartedTemplate(pid, ours.detach()))
        made = Stand(part, said, selector, pid)
        try:
            made.load()
            yield made
        finally:
            part.end()
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
