"""Frames at the pace of speech, with their one-way latencies: this process is both the callers and the pods.

This module opens the tunnels by verified handshakes, and accepts them at the pods' addresses, at which it listens until
all tunnels are open. Then the loop in paced.c takes over: it sends, reads and compares every frame.

- ``voice``: each caller has its own phase, its clock is wrong by up to 100 ppm, and its frames jitter (standard
  deviation 2 ms). Pods speak half of the time, 4 s of 8, and then send 5 frames at once every 100 ms.
- ``burst``: callers are evenly spread over their period, but all frames that are due within a millisecond are sent at
  its end. Pods are silent.
"""

from __future__ import annotations

import ctypes
import os
import socket
from array import array
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

from bench.traffic.accepting import Accepting
from bench.traffic.compiler import NoLibrary, library
from bench.traffic.dial import DialFailed, open_tunnels
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome
from bench.traffic.priority import before_others, punctual
from bench.traffic.wire import frame_start

SOURCE = Path(__file__).with_name("paced.c")
LEAST_FRAME = 32  # bytes: the longest frame head, the number and the time
MOST_FRAME = 65536

_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>
_SEED = 7  # the same calls for every peer
_ROOM = 1.02  # times the frames that the rate allows for


class Pattern(IntEnum):
    """The distribution of frames; the values are those of paced.c."""

    BURST = 1
    VOICE = 2


class _Task(ctypes.Structure):
    _fields_ = (
        ("calls", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("pattern", ctypes.c_uint32),
        ("start_size", ctypes.c_uint32 * 2),
        ("start", ctypes.c_char_p * 2),
        ("fd", ctypes.POINTER(ctypes.c_int32) * 2),
        ("seconds", ctypes.c_double),
        ("rate", ctypes.c_double),
        ("seed", ctypes.c_uint64),
        ("latencies", ctypes.POINTER(ctypes.c_double)),
        ("room", ctypes.c_uint64),
    )


class _Told(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("sent", "came", "late", "missing", "lost", "damaged")),
        ("seconds", ctypes.c_double),
        ("cpu", ctypes.c_double),
        ("why", ctypes.c_char * 128),
    )


def unavailable() -> str | None:
    """Why this load can't be run here; None if it can."""
    try:
        library(SOURCE)
    except NoLibrary as error:
        return str(error)
    return None


def prepare(load: Load, pattern: Pattern) -> Callable[[], Outcome]:
    """Open the tunnels, and return a function that runs the load.

    Raises:
        DialFailed: a tunnel can't be opened, does not lead to this process' pods, or the loop can't be compiled.
    """
    try:
        loop = ctypes.CDLL(str(library(SOURCE)), use_errno=True).paced
    except (NoLibrary, OSError) as error:
        raise DialFailed(str(error)) from error
    if not LEAST_FRAME <= load.size <= MOST_FRAME:
        raise DialFailed(f"frames have {LEAST_FRAME} to {MOST_FRAME} bytes, not {load.size}")
    numbered = [f"{load.targets[number % len(load.targets)]}/{number}" for number in range(load.tunnels)]
    with Accepting(load.listen, load.tunnels) as accepting:
        callers = open_tunnels(load.address, numbered, load.tunnels)
        pods = accepting.all()
    for sock in (*callers, *pods):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return lambda: _run(loop, load, pattern, callers, pods)


def _run(
    loop: Callable[..., int],
    load: Load,
    pattern: Pattern,
    callers: Sequence[socket.socket],
    pods: Sequence[socket.socket],
) -> Outcome:
    latencies = array("d", bytes(8 * int(2 * load.tunnels * (load.seconds * load.rate * _ROOM + 20))))
    starts = frame_start(load.size, masked=True), frame_start(load.size, masked=False)
    fds = [(ctypes.c_int32 * load.tunnels)(*(sock.fileno() for sock in side)) for side in (callers, pods)]
    task = _Task(
        calls=load.tunnels,
        size=load.size,
        pattern=pattern,
        start_size=(ctypes.c_uint32 * 2)(*map(len, starts)),
        start=(ctypes.c_char_p * 2)(*starts),
        fd=(ctypes.POINTER(ctypes.c_int32) * 2)(*(ctypes.cast(one, ctypes.POINTER(ctypes.c_int32)) for one in fds)),
        seconds=load.seconds,
        rate=load.rate,
        seed=_SEED,
        latencies=(ctypes.c_double * len(latencies)).from_buffer(latencies),
        room=len(latencies),
    )
    told = _Told()
    priority = before_others()
    punctual()
    if loop(ctypes.byref(task), ctypes.byref(told)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return _outcome(told, latencies, priority=priority)


def _outcome(told: _Told, latencies: array[float], *, priority: bool) -> Outcome:
    return Outcome(
        seconds=told.seconds,
        count=told.came,
        errors=told.lost - told.damaged,
        mismatches=told.damaged,
        cpu=told.cpu,
        why=told.why.decode(errors="replace"),
        latencies=latencies[: told.came],
        sent=told.sent,
        late=told.late,
        missing=told.missing,
        priority=priority,
    )
