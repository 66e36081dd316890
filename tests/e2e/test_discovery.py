"""Discovery, end to end: a true supervisor, its processes, pods, and an API server that may be away."""

from __future__ import annotations

import os
import signal
import statistics
import time
from random import Random

import pytest
import trio

from tests.e2e.discovered import Cluster, config, discovering, pod, start_dns
from tests.e2e.operator import scrape_until, see_until
from tests.kit.calls import handshake, tunnel
from tests.kit.fleet import echoes
from tests.kit.pods import Pod, tunnel_pod
from tests.kit.site import Place
from tests.kit.wire import TIMEOUT, dial, until
from tests.kit.workers import kill_and_see

pytestmark = pytest.mark.slow


async def _pod(cluster: Cluster, nursery: trio.Nursery, place: Place, address: str | None = None) -> Pod:
    return await tunnel_pod(nursery, address or place.address, cluster.port)


async def _opens(cluster: Cluster, target: str) -> bool:
    async with dial(cluster.edge.address) as wire:
        await wire.send(handshake(target))
        return (await wire.head()).startswith(b"HTTP/1.1 101 ")


async def _calls(cluster: Cluster, target: str, count: int) -> None:
    for _ in range(count):
        async with tunnel(cluster.edge, target) as call:
            await echoes(call)


async def _until_opens(cluster: Cluster, target: str) -> None:
    with trio.fail_after(TIMEOUT):
        while not await _opens(cluster, target):  # noqa: ASYNC110 - nothing tells when
            await trio.sleep(0.002)


async def test_a_pod_that_appears_gets_calls_without_any_entry_in_dns(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        await start_dns(cluster, nursery)  # it knows nobody
        pods, taken = [pod(cluster.edge.site.take(), ready=False)], []
        await cluster.settle(*pods)
        for name, reason in (("nobody", "pod_unknown"), (pods[0].name, "pod_not_ready")):
            assert (await cluster.refused(f"/k/{name}/x")).status == 503
            line = await cluster.edge.line("exchange", path=f"/k/{name}/x")
            assert [attempt["failure"] for attempt in line["attempts"]] == [reason]
        for _ in range(20):
            place = cluster.edge.site.take()
            await _pod(cluster, nursery, place)
            pods.append(pod(place))
            await trio.sleep(0.15 * (len(pods) % 2))  # the next change after a pause is published at once
            began = time.monotonic()
            cluster.sync(*pods)
            await _until_opens(cluster, f"/k/{place.name}/x")
            taken.append(1000 * (time.monotonic() - began))
        for kind, some in (("after a pause", taken[1::2]), ("at once", taken[::2])):
            print(f"endpoint to call, {kind}: median {statistics.median(some):.0f} ms, most {max(some):.0f} ms")  # noqa: T201 - for who looks
        await _calls(cluster, "/any/x", 3)
        await _calls(cluster, "/named/x", 3)
        scraped = await scrape_until(cluster.edge, lambda now: now.total("discovery_synced") == 2)
        assert scraped.total("discovery_events_total", type="MODIFIED") >= 10
        line = await cluster.edge.line("tunnel_open", route="any")
        assert line["pod"].startswith("agent-"), "its pod has a name, though no URL has chosen it"


async def test_a_pod_that_ends_gets_the_call_that_names_it_and_no_other(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        one, other = cluster.edge.site.take(), cluster.edge.site.take()
        ending, staying = await _pod(cluster, nursery, one), await _pod(cluster, nursery, other)
        await cluster.settle(pod(one), pod(other))
        await _calls(cluster, "/any/x", 4)
        assert (ending.connections, staying.connections) == (2, 2)
        cluster.sync(pod(one, terminating=True), pod(other))
        await see_until(cluster.edge, "/upstreams", lambda said: bool(_states(said)[one.name]["terminating"]))
        await _calls(cluster, f"/kf/{one.name}/x", 2)
        assert (ending.connections, staying.connections) == (4, 2)
        await _calls(cluster, "/any/x", 5)
        assert (ending.connections, staying.connections) == (4, 7)
        cluster.sync(pod(one, ready=False, terminating=True), pod(other))
        await see_until(cluster.edge, "/upstreams", lambda said: not _states(said)[one.name]["serving"])
        assert (await cluster.refused(f"/k/{one.name}/x")).status == 503
        async with tunnel(cluster.edge, f"/kf/{one.name}/y") as call:
            await echoes(call)
        assert (ending.connections, staying.connections) == (4, 8)
        assert staying.seen[-1].values("X-Splicer-Fallback-From") == [one.name.encode()]
        opened = await cluster.edge.line("tunnel_open", path=f"/kf/{one.name}/y")
        assert [attempt["failure"] for attempt in opened["attempts"]] == ["pod_not_ready", None]
        cluster.sync(pod(one, terminating=True))  # nobody is ready: who still serves gets all calls
        await see_until(cluster.edge, "/upstreams", lambda said: other.name not in _states(said))
        await _calls(cluster, "/any/x", 2)
        assert ending.connections == 6


def _states(said: dict[str, list[dict[str, object]]]) -> dict[str, dict[str, object]]:
    [endpoints] = [each["endpoints"] for each in said["upstreams"] if each["name"] == "k-any"]
    assert isinstance(endpoints, list)
    return {str(each["pod"]): each for each in endpoints}


async def test_while_the_api_server_is_away_calls_go_on_and_dns_knows_who_was_made_again(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        dns = await start_dns(cluster, nursery)
        place, other = cluster.edge.site.take(), cluster.edge.site.take()
        first = await _pod(cluster, nursery, place)
        await _pod(cluster, nursery, other)
        await cluster.settle(pod(place), pod(other))
        async with tunnel(cluster.edge, f"/k/{place.name}/long") as long:
            cluster.api.crash()
            await _calls(cluster, f"/k/{place.name}/x", 2)
            lost = await cluster.edge.wait_lines(2, "discovery_lost")
            assert {line["kept"] for line in lost} == {2}
            await _calls(cluster, f"/k/{place.name}/x", 2)
            await _calls(cluster, "/any/x", 2)
            first.stop()
            again = await _pod(cluster, nursery, place, place.twin)
            dns.set(f"{place.name}.voice-agent.voice.svc.test", place.twin)
            await _calls(cluster, f"/k/{place.name}/x", 2)
            assert again.connections == 2
            cluster.sync(pod(place, address=place.twin), pod(other))
            cluster.edge.mark()
            cluster.api.listen(fresh=True)
            await cluster.synced()
            dns.stop()
            await _calls(cluster, f"/k/{place.name}/x", 2)
            assert again.connections == 4
            await long.send(b"")


async def test_the_death_of_the_process_in_the_middle_of_a_change_costs_nothing(nursery: trio.Nursery) -> None:
    seed = Random(7)
    with discovering(workers=2) as cluster:
        stays = cluster.edge.site.take()
        await _pod(cluster, nursery, stays)
        others = [cluster.edge.site.take() for _ in range(6)]
        for place in others:
            await _pod(cluster, nursery, place)
        await cluster.settle(pod(stays))
        before = await scrape_until(cluster.edge, lambda now: now.total("endpoint_snapshot_generation") > 0)
        kills = 12
        async with tunnel(cluster.edge, f"/k/{stays.name}/long") as long:
            for _ in range(kills):
                pid = await cluster.pid()
                chosen = seed.sample(others, seed.randint(1, 5))
                cluster.sync(pod(stays), *map(pod, chosen))
                await trio.sleep(seed.choice([0, 0, 0.002, 0.01, 0.3]))
                await kill_and_see(pid)
                await _calls(cluster, f"/k/{stays.name}/x", 1)
                await _calls(cluster, "/any/x", 1)
            await cluster.edge.expected(kills, "discovery_died", reason="SIGKILL")
            cluster.sync(*map(pod, [stays, *others]))
            for place in others:
                await _until_opens(cluster, f"/k/{place.name}/x")
            await echoes(long)
        after = await scrape_until(cluster.edge, lambda now: now.total("discovery_restarts_total") == kills)
        assert after.total("endpoint_snapshot_generation") > before.total("endpoint_snapshot_generation")


async def test_a_process_that_hangs_is_replaced_and_what_it_found_is_used_meanwhile(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        place = cluster.edge.site.take()
        await _pod(cluster, nursery, place)
        await cluster.settle(pod(place))
        pid = await cluster.pid()
        os.kill(pid, signal.SIGSTOP)
        await _calls(cluster, f"/k/{place.name}/x", 2)
        [line] = await cluster.edge.expected(1, "discovery_died", pid=pid)
        assert line["reason"] == "stuck"
        await _calls(cluster, f"/k/{place.name}/x", 2)
        assert await cluster.pid() != pid


async def test_a_reload_and_an_upgrade_keep_what_is_known(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        edge, place, other = cluster.edge, cluster.edge.site.take(), cluster.edge.site.take()
        await _pod(cluster, nursery, place)
        await _pod(cluster, nursery, other)
        await cluster.settle(pod(place))
        async with tunnel(edge, f"/k/{place.name}/long") as long:
            pid = await cluster.pid()
            text = edge.path.read_text()
            await edge.reload(text.replace('discovery = "kubernetes"', "").replace(":ws", f":{cluster.port}"))
            await until(lambda: cluster.discovery() is None)
            assert (await cluster.refused(f"/k/{place.name}/x")).status in (503, 504)
            await edge.reload(text)
            await _until_opens(cluster, f"/k/{place.name}/x")
            assert await cluster.pid() != pid
            cluster.api.crash()  # so that only the old process can have told
            edge.mark()
            edge.signal(signal.SIGUSR2)
            await edge.line("upgraded")
            await _calls(cluster, f"/k/{place.name}/x", 2)
            cluster.sync(pod(place), pod(other))
            cluster.api.listen()
            await _until_opens(cluster, f"/k/{other.name}/x")
            await echoes(long)


async def test_a_token_that_is_replaced_and_one_that_is_refused(nursery: trio.Nursery) -> None:
    with discovering() as cluster:
        place, other = cluster.edge.site.take(), cluster.edge.site.take()
        await _pod(cluster, nursery, place)
        await _pod(cluster, nursery, other)
        await cluster.settle(pod(place))
        cluster.api.token("another")
        cluster.api.end_watches()
        cluster.sync(pod(place), pod(other))
        await _until_opens(cluster, f"/k/{other.name}/x")
        cluster.api.token("a third one", publish=False)
        cluster.api.end_watches()
        [denied] = await cluster.edge.expected(1, "discovery_denied", status=401)
        assert "token_file" in denied["remedy"]
        await _calls(cluster, f"/k/{other.name}/x", 1)


async def test_two_edges_of_files_are_the_same_to_it(nursery: trio.Nursery) -> None:
    """Without TLS, as behind `kubectl proxy`; a Service that is not there is looked up."""
    with discovering(tls=False) as cluster:
        dns = await start_dns(cluster, nursery)
        place = cluster.edge.site.take()
        await _pod(cluster, nursery, place)
        await cluster.synced()
        lines = await cluster.edge.wait_lines(2, "discovery_no_service")
        assert {line["service"] for line in lines} == {f"voice/voice-agent:{cluster.port}", "voice/voice-agent:ws"}
        assert not await _opens(cluster, "/any/x")
        dns.set("voice-agent.voice.svc.test", place.address)
        await _until_opens(cluster, "/any/x")
        cluster.sync(pod(place))
        dns.stop()
        await _until_opens(cluster, f"/k/{place.name}/x")
        assert config(cluster.edge.site, cluster.api)
