"""Compare the losses of a relay with read(2) and write(2) to one with splice(2): the same storm and kills for both.

    python -m tests.stress.copying

It takes under two minutes, and prints a Markdown table. The copying relay is splicer itself with only its two calls of
splice(2) replaced: see sitecustomize.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio
from attrs import frozen

from tests.kit.edge import running
from tests.kit.site import Site
from tests.stress.report import Kind, Report
from tests.stress.storm import storming
from tests.stress.trials import kill_workers, text_of

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]
_KILLS = 30
_TUNNELS = 100
_SECONDS = 5.0  # the longest life of a tunnel, seconds
_TIMEOUT = 10.0  # seconds after which a tunnel counts as stuck: one side waits for lost bytes
_MAX_SECONDS = 80.0  # seconds of one storm
_SEED = 1


@frozen
class Row:
    """The result of a storm."""

    relay: str
    report: Report

    def __str__(self) -> str:
        report = self.report
        bad = sum(fault.kind is not Kind.HANDSHAKE for fault in report.faults)
        cells = (
            self.relay,
            _KILLS,
            report.tunnels + bad,
            bad,
            f"{report.missing:,}",
            f"{(report.to_pods + report.to_clients) / 1e6:,.0f} MB",
            f"{report.stalls[-1]:.1f} s",
        )
        return f"| {' | '.join(map(str, cells))} |"


async def _storm(relay: str, patch: Path | None) -> Row:
    environ = {} if patch is None else {"PYTHONPATH": os.pathsep.join([str(patch), str(_ROOT)])}
    site = Site(pods=8)
    with running(text_of(site, workers=2), site, environ=environ, code=_ROOT) as edge, trio.fail_after(_MAX_SECONDS):
        async with storming(edge.address, site, seed=_SEED, patience=_TIMEOUT, answered=_TIMEOUT) as weather:
            weather.keep(_TUNNELS, _SECONDS)
            await weather.full()
            await kill_workers(edge, _KILLS, 0.3, refill=True, seed=_SEED)
            return Row(relay, await weather.finish())


async def _main() -> None:
    rows = [
        await _storm("splice(2)", None),
        await _storm("read(2) and write(2)", _HERE),
    ]
    names = ("relay", "workers killed", "tunnels", "lost or damaged", "bytes missing", "moved", "longest stall")
    table = [f"| {' | '.join(names)} |", "|---" + "|---:" * (len(names) - 1) + "|", *map(str, rows)]
    sys.stdout.write("\n".join(table) + "\n")


if __name__ == "__main__":
    trio.run(_main)
