"""Edges with several workers, and ways to reach one of them."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from tests.kit.calls import tunnel
from tests.kit.edge import Edge, Line
from tests.kit.http import Message
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, Wire, ask, until
from tests.kit.workers import kill_and_see, worker_pids

_PATCH = """
import sys
if {"splicer.worker", "splicer.template"} & set(sys.orig_argv):
    import os
    def once(path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        raise RuntimeError("a bug")
"""


def several(
    site: Site, workers: int | str = 2, *, admin: str = "off", routes: str = "", deadlines: str = "", extra: str = ""
) -> str:
    """A routing.toml for so many workers.

    Args:
        site: what it knows.
        workers: how many, or '"auto"'.
        admin: where its admin process listens.
        routes: see `Site.toml`, as for the rest.
        deadlines: see there.
        extra: see there.
    """
    text = site.toml(routes, deadlines=deadlines, extra=extra)
    return text.replace('admin = "off"', f'admin = "{admin}"\nworkers = {workers}')


@contextmanager
def only(edge: Edge, slot: int) -> Iterator[None]:
    """Within the block all workers but that of a slot are stopped, so that it takes every new connection."""
    others = [pid for other, pid in worker_pids(edge.pid).items() if other != slot]
    try:
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        while not all(_is_stopped(pid) for pid in others):
            time.sleep(0.001)
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped or dead: it runs on for an instant after SIGSTOP, and might still accept."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZX"
    except FileNotFoundError:
        return True


@asynccontextmanager
async def tunnel_at(edge: Edge, slot: int, target: str, *fields: str, source: str = "127.0.0.1") -> AsyncIterator[Wire]:
    """An open tunnel at the worker of a slot."""
    await until(lambda: slot in worker_pids(edge.pid))
    opening = tunnel(edge, target, *fields, source=source)
    with only(edge, slot):
        wire = await opening.__aenter__()
    try:
        yield wire
    finally:
        await opening.__aexit__(None, None, None)


async def echoes(wire: Wire, data: bytes = b"hello") -> None:
    """Check that bytes go to the pod and back."""
    await wire.send(data)
    assert await wire.exactly(len(data)) == data


async def ask_at(edge: Edge, slot: int, target: str, *fields: str) -> Message:
    """Send one request, on a connection of its own, to the worker of a slot."""
    with only(edge, slot):
        return await ask(edge.address, "GET", target, *fields)


async def at_every(edge: Edge, status: int, target: str) -> None:
    """Wait until every worker answers with this status: workers publish their numbers only at intervals."""
    for slot in worker_pids(edge.pid):
        with trio.fail_after(TIMEOUT):
            while (await ask_at(edge, slot, target)).status != status:  # noqa: ASYNC110 - see `until`
                await trio.sleep(0.05)


def slot_of(edge: Edge, wire: Wire) -> int:
    """The slot of the worker that has a client's connection; 0: no worker has it."""
    host, port = wire.stream.socket.getsockname()
    far = "{:08X}:{:04X}".format(*struct.unpack("=I", socket.inet_aton(host)), port)
    table = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = [words[9] for words in table if words[2] == far]
    for slot, pid in worker_pids(edge.pid).items():
        if any(f"socket:[{inode}]" in edge.open_files(pid) for inode in inodes):
            return slot
    return 0


async def kill_worker_of(edge: Edge, wire: Wire) -> None:
    """SIGKILL the worker that has this client's tunnel, after any number of adoptions."""
    await kill_worker(edge, await until(lambda: slot_of(edge, wire)))


@asynccontextmanager
async def the_gap(edge: Edge, wire: Wire) -> AsyncIterator[None]:
    """Within the block no worker serves a client's tunnel: its worker is stopped, and killed at the end."""
    slot = slot_of(edge, wire)
    os.kill(worker_pids(edge.pid)[slot], signal.SIGSTOP)
    yield
    await kill_worker(edge, slot)


async def kill_worker(edge: Edge, slot: int = 1) -> Line:
    """SIGKILL the worker of a slot, and wait for the next one.

    Returns:
        What the log says of its death.
    """
    pid = worker_pids(edge.pid)[slot]
    await kill_and_see(pid)
    [line] = await edge.expected(1, "worker_died", pid=pid, slot=slot)
    await until(lambda: worker_pids(edge.pid).get(slot, pid) != pid)
    return line


def patched(directory: Path, code: str) -> dict[str, str]:
    """An environment in which worker processes run `code` before their own; so does what is forked like them.

    Args:
        directory: for it; nothing else may be there.
        code: may call ``once(path)``: it raises if there is such a file, which it removes.
    """
    lines = "".join(f"    {line}\n" for line in code.strip().splitlines())
    (directory / "sitecustomize.py").write_text(_PATCH + lines)
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(Path(__file__).parents[2])])}
