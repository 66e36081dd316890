"""What an edge does while nothing happens: its processes share the processors with the calls."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.kit.edge import running, session_of
from tests.kit.site import Site
from tests.kit.wire import until


def _wakes(pid: int) -> int:
    """How often it has begun to wait (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


async def test_a_supervisor_that_has_nothing_to_do_wakes_up_once_a_second() -> None:
    site = Site()
    with running(site.toml(), site) as edge:
        await until(lambda: any(title == "splicer: spare" for _, title in session_of(edge.pid)))
        await trio.sleep(1)
        before = _wakes(edge.pid)
        await trio.sleep(4)
        assert 2 <= _wakes(edge.pid) - before <= 10
