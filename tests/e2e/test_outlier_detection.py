"""Outlier detection in whole edges: who is ejected, who is not, and what a caller sees of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import trio

from tests.e2e.judged import becomes, call, discovery_pid, failures, judged_edge, there
from tests.e2e.operator import scrape
from tests.kit.calls import tunnel
from tests.kit.edge import Edge
from tests.kit.fleet import only
from tests.kit.pods import http_pod, ok, tunnel_pod
from tests.kit.site import Place
from tests.kit.wire import Wire, ask, until
from tests.kit.workers import kill_and_see, worker_pids

pytestmark = pytest.mark.slow

TWO = "outlier_detection = { consecutive_errors = 2, base_ejection_time = '5m', max_ejection_percent = 100 }"
CALLS = 200


@pytest.fixture
def edge() -> Iterator[Edge]:
    with judged_edge(TWO) as (edge, _):
        yield edge


async def spare(edge: Edge, nursery: trio.Nursery) -> None:
    await tunnel_pod(nursery, f"{edge.site.net}.241", edge.site.port)


async def eject(edge: Edge, place: Place) -> None:
    """Two calls to a pod that refuses them; then all workers know."""
    edge.mark()
    for _ in range(2):
        assert (await call(edge, f"/call/{place.name}")).status == 101
    await edge.line("endpoint_ejected", endpoint=place.endpoint)
    await becomes(edge, 1, "endpoints", upstream="judged", state="ejected")
    edge.mark()


async def test_after_two_refused_connects_the_third_call_waits_for_nothing(edge: Edge, nursery: trio.Nursery) -> None:
    await spare(edge, nursery)
    place = edge.site.take()
    await there(edge)
    await eject(edge, place)
    pod = await tunnel_pod(nursery, place.address, place.port)
    assert (await call(edge, f"/call/{place.name}")).status == 101
    line = await edge.line("tunnel_close", route="call")
    assert failures(line) == ["pod_ejected", None]
    assert line["attempts"][0]["endpoint"] == place.endpoint
    assert line["upstream"] == "spare"
    assert pod.connections == 0, "no connect was tried"
    assert (await call(edge, f"/alone/{place.name}")).status == 101
    assert pod.connections == 1, "without a fallback there is nothing better"
    now = await scrape(edge)
    assert now.total("ejections_total", upstream="judged", reason="connect_refused") == 1
    assert now.total("attempts_total", outcome="pod_ejected") == 1


async def hang_up(wire: Wire) -> None:
    await wire.some()


async def reset(wire: Wire) -> None:
    await wire.some()
    wire.reset()


async def idle(wire: Wire) -> None:
    await trio.sleep_forever()


# envoy#24690: the FIN of a tunnel counts as a gateway failure there, and its pod is ejected.
async def test_the_ends_of_calls_eject_nobody(nursery: trio.Nursery) -> None:
    strict = (
        "outlier_detection = { consecutive_errors = 1, statuses = [500, 502, 503, 504], max_ejection_percent = 100 }"
    )
    with judged_edge(strict, deadlines='idle = "1s"\nhalf_closed = "1s"') as (edge, _):
        await there(edge)
        places = [edge.site.take() for _ in range(4)]
        for place, handle in zip(places, (hang_up, reset, idle, idle), strict=True):
            await tunnel_pod(nursery, place.address, place.port, handle)

        async def one(place: Place, number: int) -> None:
            async with tunnel(edge, f"/alone/{place.name}") as wire:
                await wire.send(b"hello")
                if place is places[3]:
                    wire.reset() if number % 2 else await wire.close()
                else:
                    await wire.end()

        for start in range(0, CALLS, 40):
            async with trio.open_nursery() as callers:
                for number in range(start, start + 40):
                    callers.start_soon(one, places[number % 4], number // 4)
        lines = await edge.wait_lines(CALLS, "tunnel_close")
        assert {"eof", "reset", "idle"} <= {line["reason"] for line in lines}
        await trio.sleep(1.0)  # for the reports, if there were any
        assert not edge.find("endpoint_ejected")
        assert (await scrape(edge)).total("ejections_total") == 0
        assert (await call(edge, f"/alone/{edge.site.take().name}")).status == 502
        await edge.line("endpoint_ejected")  # what would have been seen


async def test_of_five_two_are_ejected_and_the_third_is_not(nursery: trio.Nursery) -> None:
    with judged_edge(group="outlier_detection = { consecutive_errors = 1 }", members=5) as (edge, places):
        await there(edge)
        busy = ok(b"", status=b"503 Unavailable")
        for place in places[:3]:
            await http_pod(nursery, place.address, place.port, busy)
        for place in places[3:]:
            await http_pod(nursery, place.address, place.port)
        while len(edge.find("endpoint_ejected")) < 2:
            await ask(edge.address, "GET", "/group")
            await trio.sleep(0.02)
        await becomes(edge, 2, "endpoints", upstream="group", state="ejected")
        await trio.sleep(1)  # workers read it within 0.2 s
        statuses = [(await ask(edge.address, "GET", "/group")).status for _ in range(30)]
        assert statuses.count(503) == 10, "the third one that fails keeps its turn"
        await becomes(edge, 2, "ejections_total", upstream="group")
        assert (await scrape(edge)).total("ejections_refused_total", upstream="group") >= 10
        ejected = {line["endpoint"] for line in edge.find("endpoint_ejected")}
        assert len(ejected) == 2
        assert ejected < {place.endpoint for place in places[:3]}


async def test_errors_in_two_workers_count_together_and_both_obey(nursery: trio.Nursery) -> None:
    with judged_edge(TWO, workers=2) as (edge, _):
        await spare(edge, nursery)
        await until(lambda: len(worker_pids(edge.pid)) == 2)
        await there(edge)
        place = edge.site.take()
        for slot in (1, 2):
            assert not edge.find("endpoint_ejected")
            with only(edge, slot):
                assert (await call(edge, f"/call/{place.name}")).status == 101
        await edge.line("endpoint_ejected", errors=2)
        await becomes(edge, 1, "endpoints", upstream="judged", state="ejected")
        edge.mark()
        for slot in (1, 2):
            with only(edge, slot):
                assert (await call(edge, f"/call/{place.name}")).status == 101
        lines = await edge.wait_lines(2, "tunnel_close")
        assert [failures(line) for line in lines] == [["pod_ejected", None]] * 2


async def test_a_success_in_another_worker_begins_anew(nursery: trio.Nursery) -> None:
    with judged_edge(TWO, workers=2) as (edge, _):
        await spare(edge, nursery)
        await until(lambda: len(worker_pids(edge.pid)) == 2)
        await there(edge)
        place = edge.site.take()
        for _ in range(3):
            with only(edge, 1):
                assert (await call(edge, f"/call/{place.name}")).status == 101
            await trio.sleep(0.5)  # the snapshot says that it is suspect
            pod = await tunnel_pod(nursery, place.address, place.port)
            with only(edge, 2):
                assert (await call(edge, f"/call/{place.name}")).status == 101
            await edge.line("tunnel_close", upstream="judged")
            assert pod.connections == 1
            edge.mark()
            pod.stop()
            await trio.sleep(0.5)
        assert not edge.find("endpoint_ejected")


async def test_an_ejection_outlives_the_discovery_process(nursery: trio.Nursery) -> None:
    short = "outlier_detection = { consecutive_errors = 2, base_ejection_time = '6s', max_ejection_percent = 100 }"
    with judged_edge(short) as (edge, _):
        await spare(edge, nursery)
        place = edge.site.take()
        first = await there(edge)
        await eject(edge, place)
        os.kill(first, signal.SIGSTOP)
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("tunnel_close")) == ["pod_ejected", None], "nobody needs it for that"
        os.kill(first, signal.SIGCONT)
        await kill_and_see(first)
        await edge.expected(1, "discovery_died", pid=first)
        await until(lambda: discovery_pid(edge) not in (0, first))
        edge.mark()
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("tunnel_close")) == ["pod_ejected", None]
        await edge.line("endpoint_returned", endpoint=place.endpoint)
        edge.mark()
        await call(edge, f"/call/{place.name}")
        line = await edge.line("endpoint_ejected", endpoint=place.endpoint)
        assert (line["errors"], line["times"]) == (1, 2), "the new one knows that it was the second time"


async def test_reloads_and_upgrades_keep_ejections_and_a_reload_ends_the_process(nursery: trio.Nursery) -> None:
    with judged_edge(TWO) as (edge, _):
        await spare(edge, nursery)
        place = edge.site.take()
        await there(edge)
        await eject(edge, place)
        text = edge.path.read_text()
        await edge.reload(text.replace("consecutive_errors = 2", "consecutive_errors = 3"))
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("tunnel_close")) == ["pod_ejected", None]
        before = discovery_pid(edge)
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        await until(lambda: discovery_pid(edge) not in (0, before))
        edge.mark()
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("tunnel_close")) == ["pod_ejected", None]
        await edge.reload(text.replace(TWO, ""))
        await until(lambda: not discovery_pid(edge))
        edge.mark()
        await call(edge, f"/call/{place.name}")
        assert failures(await edge.line("tunnel_close")) == ["connect_refused", None]
        await edge.reload(text)
        await there(edge)
