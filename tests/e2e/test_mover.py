"""Which mover runs is told: at the start, by the status, by a metric; and both carry calls."""

from __future__ import annotations

import pytest
import trio

from splicer.relay.state import NATIVE
from tests.e2e.operator import observed, scrape_until, see_until
from tests.e2e.test_command_line import splicer
from tests.kit.calls import tunnel
from tests.kit.edge import running
from tests.kit.fleet import echoes, kill_worker
from tests.kit.pods import tunnel_pod
from tests.kit.site import Site


@pytest.mark.parametrize(
    ("value", "mover"),
    [
        ("0", "python"),
        pytest.param("1", "native", marks=pytest.mark.skipif(not NATIVE, reason="the C extension is not used here")),
    ],
)
async def test_it_is_told_which_one_runs(value: str, mover: str, nursery: trio.Nursery) -> None:
    site = Site()
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    with running(observed(site, 1), site, environ={"SPLICER_NATIVE": value}) as edge:
        assert edge.find("ready")[0]["mover"] == mover
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            await echoes(call)
            for _ in range(2):
                await see_until(
                    edge, "/status", lambda said: [each.get("mover") for each in said["workers"]] == [mover]
                )
                await scrape_until(edge, lambda now: now.total("relay_workers", mover=mover) == 1)
                result = await splicer("status", "-c", edge.path)
                [heading, line] = result.out.split("\n\n")[1].splitlines()
                assert (heading.split()[-1], line.split()[-1]) == ("mover", mover)
                await kill_worker(edge)
                await echoes(call)
