"""Thousands of calls, and fault after fault: a call may be lost only if a fault ends both processes that hold it.

`python -m tests.stress --calls 2000 --faults 1000` runs it by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from attrs import Factory, asdict, define

from tests.stress.calls import Setting
from tests.stress.edges import Edges, edges
from tests.stress.faults import FAULTS, Fault, strike

_ROOT = Path(__file__).parents[2]
_POLL_INTERVAL = 0.2  # seconds
_TOLD = 5  # faults of calls that are printed at once
_SHOWN = 20  # faults of calls in the printed result


class CallsProcess:
    """`tests.stress.calls` as a separate process."""

    def __init__(self, setting: Setting) -> None:
        command = [sys.executable, "-m", "tests.stress.calls", json.dumps(asdict(setting))]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def window(self, name: str) -> None:
        """Attribute silences from now on to a cause."""
        self._say(f"window {name}")

    def ask(self, word: str) -> dict[str, Any]:
        """Send a command, and return its answer: `tests.stress.calls.Figures`."""
        self._say(word)
        assert self._process.stdout is not None
        figures: dict[str, Any] = json.loads(self._process.stdout.readline())
        return figures

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


@contextmanager
def calling(setting: Setting) -> Iterator[CallsProcess]:
    """Run the calls; all of them are open when the context is entered."""
    calls = CallsProcess(setting)
    try:
        late = time.monotonic() + setting.calls / setting.rate + setting.patience
        while calls.ask("figures")["open"] < setting.calls * (1 - setting.short):
            assert time.monotonic() < late, "not all calls have opened"
            time.sleep(_POLL_INTERVAL)
        yield calls
    finally:
        calls.close()


@define
class Outcome:
    """The result of a storm of faults.

    Args:
        calls: the number of calls at any time.
        seconds: from the first fault to the end of the last one.
        faults: the number of each kind.
        figures: `tests.stress.calls.Figures`.
        settled: the longest times until every slot had a worker again, each call a worker, and each call the vault,
            in seconds.
        errors: the number of log lines for each error event.
        odd: log lines that should not occur.
    """

    calls: int
    seconds: float
    faults: Counter[str] = Factory(Counter)
    figures: Mapping[str, Any] = Factory(dict)
    settled: tuple[float, float, float] = (0.0, 0.0, 0.0)
    errors: Counter[str] = Factory(Counter)
    odd: list[dict[str, Any]] = Factory(list)

    @property
    def lost(self) -> int:
        """The lost calls that no fault explains."""
        return sum(count for name, count in self.figures["lost"].items() if not _loses(name))

    def text(self) -> str:
        """The result as text."""
        told = self.figures
        apart = sum(told["lost"].values()) - self.lost
        lines = [
            f"{self.faults.total()} faults over {self.calls} calls in {self.seconds:.0f} s: {self.lost} lost,"
            f" and {apart} where the vault and a worker were killed together",
            f"{told['opened']} opened, {sum(told['completed'].values())} ended as planned,"
            f" {told['received'] / 1e6:.0f} MB received; handshakes: {told['dropped']} dropped, other answers"
            f" {told['statuses']}, slowest {told['longest_answer'] * 1000:.0f} ms",
            "at most {:.1f} s until every slot had a worker again, {:.1f} s until each call had one, and {:.1f} s until"
            " the vault had it".format(*self.settled),
            f"errors in the logs: {dict(self.errors)}",
            f"the calls' own process read nothing for {told['longest_turn'] * 1000:.0f} ms at most",
            "",
            "| fault | times | calls lost | silence: median | p99 | longest |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name, silence in told["silences"].items():
            shown = " | ".join(f"{seconds * 1000:.0f} ms" for seconds in silence)
            lines.append(f"| {name} | {self.faults[name] or ''} | {told['lost'].get(name, 0)} | {shown} |")
        lines += ["", *told["faults"][:_SHOWN], *map(str, self.odd[:_SHOWN])]
        return "\n".join(lines)


def _loses(window: str) -> bool:
    return window in FAULTS and FAULTS[window].loses


def storm_of_faults(
    directory: Path,
    calls: int,
    faults: int,
    *,
    seed: int = 1,
    workers: int = 4,
    own_vault: bool = True,
    only: tuple[str, ...] = (),
    tell: Callable[[str], object] = lambda _: None,
    logs: Path | None = None,
) -> Outcome:
    """Run a storm of faults.

    Args:
        directory: for files.
        calls: the number of calls at any time.
        faults: the number of faults, one after another.
        seed: decides the faults and the behaviour of the calls.
        workers: the number of the edge's workers.
        own_vault: the vault is a separate process; it and the supervisor may be killed.
        only: kinds of faults; empty: all kinds.
        tell: called with a line of progress now and then.
        logs: a directory for all log lines.
    """
    rng = Random(seed)
    kinds = {name: fault for name, fault in FAULTS.items() if name in only or not only}
    kinds = {name: fault for name, fault in kinds.items() if own_vault or not fault.own_vault}
    with edges(directory, workers, own_vault=own_vault) as running:
        pods = tuple((place.name, place.address, place.port) for place in running.places)
        outcome = Outcome(calls, 0.0)
        try:
            with calling(Setting(running.now.address, pods, calls, seed=seed)) as process:
                begun = time.monotonic()
                while outcome.faults.total() < faults:
                    _one(rng, kinds, running, process, outcome, tell)
                outcome.seconds = time.monotonic() - begun
                process.window("after")
                running.settle()
                outcome.figures = process.ask("finish")
        except AssertionError as error:
            outcome.odd.append({"event": "given up", "text": str(error)})
        finally:
            if logs is not None:
                running.save_logs(logs)
            outcome.errors = running.errors()
            outcome.odd += running.take_odd_lines()
    return outcome


def _one(
    rng: Random,
    kinds: Mapping[str, Fault],
    running: Edges,
    process: CallsProcess,
    outcome: Outcome,
    tell: Callable[[str], object],
) -> None:
    [name] = rng.choices(list(kinds), [fault.weight for fault in kinds.values()])
    tell(f"{outcome.faults.total() + 1}: {name}")
    if kinds[name].alone:
        process.window("between")
        settled = running.settle()
        tell("  settled after {:.1f}, {:.1f}, {:.1f} s".format(*settled))
        outcome.settled = max(outcome.settled, settled, key=lambda times: times[-1])
    process.window(name)
    strike(kinds[name], running, rng)
    outcome.faults[name] += 1
    known = len(outcome.figures.get("faults", ()))
    outcome.figures = process.ask("figures")
    for fault in outcome.figures["faults"][known : known + _TOLD]:
        tell(f"  {fault}")
    if more := outcome.figures["faults"][known + _TOLD :]:
        tell(f"  and {len(more)} more")
