"""The protocol of a client process with the process that started it: "ready", "go", one line of JSON, "end"."""

from __future__ import annotations

import gc
import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TextIO

from bench.traffic.dial import DialFailed
from bench.traffic.load import Load
from bench.traffic.outcome import Outcome, merged

Prepare = Callable[[Load], Callable[[], Outcome]]


# Only the end of the process closes connections: between the result and "end", the parent can measure the proxy's
# processes with all tunnels still open.
def client(prepare: Prepare, loads: list[Load], stdin: TextIO, stdout: TextIO) -> None:
    """Run a load, with one process for each part, controlled by standard input.

    Args:
        prepare: sets up a part, and returns the function that runs it.
        loads: the parts.
        stdin: the line "go" starts the run; any further line, or end of file, ends the process.
        stdout: receives "ready", then the result.

    Raises:
        DialFailed: the set-up failed.
    """
    run = prepare(loads[0]) if len(loads) == 1 else _side_by_side(prepare, loads)
    quiet()
    _say(stdout, "ready")
    if stdin.readline().strip() != "go":
        return
    _say(stdout, json.dumps(run().as_json()))
    stdin.readline()


def quiet() -> None:
    """Turn off the garbage collector: live objects stay alive, and the loops make no cycles."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _say(stdout: TextIO, line: str) -> None:
    stdout.write(line + "\n")
    stdout.flush()


def _side_by_side(prepare: Prepare, loads: list[Load]) -> Callable[[], Outcome]:
    context = multiprocessing.get_context("fork")
    channels = []
    for load in loads:
        ours, theirs = context.Pipe()
        context.Process(target=_part, args=(prepare, load, theirs), daemon=True).start()
        theirs.close()
        channels.append(ours)
    for channel in channels:
        _answer(channel)

    def run() -> Outcome:
        for channel in channels:
            channel.send("go")
        return merged(filter(None, [_answer(channel) for channel in channels]))

    return run


def _answer(channel: Connection) -> Outcome | None:
    try:
        answer: Outcome | DialFailed | None = channel.recv()
    except EOFError:
        raise DialFailed("one of the load's processes died") from None
    if isinstance(answer, DialFailed):
        raise answer
    return answer


def _part(prepare: Prepare, load: Load, channel: Connection) -> None:
    try:
        run = prepare(load)
    except DialFailed as error:
        channel.send(error)
        return
    quiet()
    channel.send(None)
    channel.recv()
    channel.send(run())
    channel.recv()
