from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from splicer.policy.slices import rows_of
from tests.discovery.cluster import PORTS, Cluster, cluster, pods, reflecting, seen
from tests.kit.kubernetes.controller import Pod

_PATH = "/apis/discovery.k8s.io/v1/namespaces/voice/endpointslices?labelSelector=kubernetes.io%2Fservice-name"


@pytest.fixture
async def made(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        yield made


# ---- list and watch ----


async def test_it_lists_and_then_watches(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        assert store.pods() == seen(2)
        assert store.words == [("synced",)]
        assert store.lists == ["start"]
        made.sync(*pods(3))
        await trio.sleep(0.001)
        assert store.pods() == seen(3)
        made.sync(Pod("pod-0", "10.0.0.0", terminating=True), *pods(3)[1:])
        await trio.sleep(0.001)
        assert store.pods() == seen(3)[1:]
        assert [row.serving for row in rows_of(store.services["voice-agent"], 8000).rows] == [True] * 3
        made.sync()
        await trio.sleep(0.001)
        assert store.pods() == []
        assert len(store.services["voice-agent"]) == 1  # the placeholder
        assert store.events == ["MODIFIED"] * 3


async def test_what_is_asked(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made):
        await trio.sleep(1)
    listed, watched = made.requests()
    assert listed.target == f"{_PATH}%3Dvoice-agent"
    version = made.server.storage.version
    begin, _, seconds = watched.target.partition("&timeoutSeconds=")
    assert begin == f"{listed.target}&watch=true&allowWatchBookmarks=true&resourceVersion={version}"
    assert 300 <= int(seconds) <= 600
    for each in (listed, watched):
        assert each.headers["authorization"] == "Bearer token-1"
        assert each.headers["accept"] == "application/json"
        assert each.headers["host"] == "127.0.0.1:6443"
        assert "accept-encoding" not in each.headers


async def test_several_services_are_asked_for_at_once(made: Cluster, autojump_clock: MockClock) -> None:
    made.sync(Pod("router-0", "10.1.0.0"), service="smart-router")
    made.sync(Pod("other-0", "10.2.0.0"), service="other")
    async with reflecting(made, ["voice-agent", "smart-router", "absent"]) as store:
        assert made.requests()[0].target == f"{_PATH}%20in%20%28absent%2Csmart-router%2Cvoice-agent%29"
        assert store.services.keys() == {"absent", "smart-router", "voice-agent"}
        assert store.services["absent"] == ()
        assert store.pods("smart-router") == [("router-0", "10.1.0.0")]
        made.sync(Pod("absent-0", "10.3.0.0"), service="absent")
        await trio.sleep(0.001)
        assert store.pods("absent") == [("absent-0", "10.3.0.0")]


async def test_a_service_that_is_deleted(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        made.server.controller.remove("voice", "voice-agent")
        await trio.sleep(0.001)
        assert store.services["voice-agent"] == ()
        assert store.words == [("synced",)]


async def test_a_slice_that_changes_its_service(made: Cluster, autojump_clock: MockClock) -> None:
    made.sync(Pod("router-0", "10.1.0.0"), service="smart-router")
    async with reflecting(made, ["voice-agent", "smart-router"]) as store:
        [kept] = made.server.controller.slices("voice", "voice-agent")
        moved = kept["metadata"] | {"labels": {"kubernetes.io/service-name": "smart-router"}}
        made.server.storage.put(kept | {"metadata": moved})
        await trio.sleep(0.001)
        assert store.services["voice-agent"] == ()
        assert len(store.services["smart-router"]) == 2


async def test_what_happened_between_list_and_watch(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="reset", where="watch")
    async with reflecting(made) as store:
        made.sync(*pods(4))
        await trio.sleep(3)
        assert store.pods() == seen(4)
        assert store.lists == ["start"]


async def test_a_quiet_service_costs_two_requests_in_ten_minutes(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        await trio.sleep(1200)
        assert [kind for _, kind in made.asked()].count("list") == 1
        assert 3 <= len(made.asked()) <= 6
        assert store.words == [("synced",)]
        assert store.failures == []
        assert store.events.count("BOOKMARK") >= 19


async def test_the_version_of_a_bookmark_is_where_the_next_watch_begins(
    made: Cluster, autojump_clock: MockClock
) -> None:
    async with reflecting(made) as store:
        for _ in range(5):
            made.server.storage.touch()
        await trio.sleep(61)
        version = made.server.storage.version
        for watch in made.server.watches:
            watch.end()
        made.server.storage.compact()  # all but what the bookmark said is gone
        made.server.storage.oldest = version
        made.server.storage.wake()
        await trio.sleep(1)
        assert f"resourceVersion={version}&" in made.requests()[-1].target
        assert store.lists == ["start"]


# ---- what goes wrong: the table ----


async def test_a_watch_that_ends_in_order_is_begun_again_at_once(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        await trio.sleep(10)
        for watch in made.server.watches:
            watch.end()
        made.server.storage.wake()
        await trio.sleep(0.001)
        assert made.asked()[-1] == (10.0, "watch")
        assert store.words == [("synced",)]
        assert store.failures == []


async def test_watches_that_end_at_once(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="short", where="watch", times=6)
    async with reflecting(made) as store:
        await trio.sleep(200)
        assert set(store.failures) == {"short"}
        assert store.words == [("synced",), ("lost", "short"), ("synced",)]
        assert store.told[1][0] == pytest.approx(5, abs=0.01)
        times = [time for time, kind in made.asked()[1:8]]
        pauses = [b - a for a, b in pairwise(times)]
        for base, pause in zip([0.8, 1.6, 3.2, 6.4, 12.8, 25.6], pauses, strict=True):
            assert base <= pause < 2 * base
        assert store.lists == ["start"]


async def test_an_api_server_that_is_away_for_a_minute(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        await trio.sleep(10)
        made.crash()
        await trio.sleep(60)
        assert store.words == [("synced",), ("lost", "connect")]
        assert store.told[1][0] == pytest.approx(15, abs=0.01)
        assert store.pods() == seen(2)  # stale, but what there is
        assert made.refused <= 8
        made.sync(*pods(3))
        made.listen()
        await trio.sleep(60)
        assert store.words == [("synced",), ("lost", "connect"), ("synced",)]
        assert store.pods() == seen(3)
        assert store.lists == ["start"]  # the watch went on where it was


async def test_an_api_server_that_is_away_for_two_seconds(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        made.crash()
        await trio.sleep(2)
        made.listen()
        await trio.sleep(60)
        assert store.words == [("synced",)]


async def test_an_api_server_that_is_started_again(made: Cluster, autojump_clock: MockClock) -> None:
    """It has forgotten what happened (410), and says 403 for 50 ms."""
    async with reflecting(made) as store:
        made.crash()
        made.sync(*pods(3))
        made.listen(fresh=True)
        await trio.sleep(5)
        assert store.pods() == seen(3)
        assert store.words == [("synced",)]
        assert store.lists == ["start", "gone"]


async def test_no_api_server_at_the_start(made: Cluster, autojump_clock: MockClock) -> None:
    made.crash()
    async with reflecting(made) as store:
        await trio.sleep(100)
        assert store.told == [(5.0, "lost", "connect")]
        made.listen()
        await trio.sleep(60)
        assert store.words == [("lost", "connect"), ("synced",)]
        assert store.pods() == seen(2)


async def test_what_is_too_old(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        made.crash()
        made.sync(*pods(3))
        made.server.storage.compact()
        made.listen()
        await trio.sleep(3)
        assert store.lists == ["start", "gone"]
        assert store.words == [("synced",)]
        assert store.pods() == seen(3)


async def test_what_an_open_watch_has_not_yet_read_is_not_lost_by_a_compaction(
    made: Cluster, autojump_clock: MockClock
) -> None:
    """A real server keeps it for the watches that are open (a seed of test_model found that ours did not)."""
    async with reflecting(made) as store:
        await trio.sleep(3)
        made.sync(*pods(3))
        made.server.storage.compact()  # the task of the watch has not run in between
        await trio.sleep(1)
        assert store.lists == ["start"]
        assert store.pods() == seen(3)


async def test_what_is_too_old_again_and_again_is_asked_for_more_and_more_seldom(
    made: Cluster, autojump_clock: MockClock
) -> None:
    """kr8s#476: a client that asked 629 times in 2 s."""
    made.server.faults.add(kind="error", where="watch", status=410, times=8)
    async with reflecting(made) as store:
        await trio.sleep(10)
        assert len(made.asked()) <= 10
        await trio.sleep(300)
        assert store.pods() == seen(2)
        assert store.words == [("synced",)]
        assert store.lists == ["start"] + ["gone"] * 8


@pytest.mark.parametrize("kind", ["error", "garbage", "long_line", "half_line"])
async def test_a_line_that_makes_no_sense_leads_to_a_list(made: Cluster, autojump_clock: MockClock, kind: str) -> None:
    made.server.faults.add(kind=kind, where="watch")
    async with reflecting(made) as store:
        made.sync(*pods(3))
        await trio.sleep(10)
        assert store.lists == ["start", "error"]
        assert store.words == [("synced",), ("lost", "error" if kind == "error" else "garbage"), ("synced",)]
        assert store.pods() == seen(3)


async def test_a_version_that_the_server_does_not_know_yet(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="too_large", where="watch")
    async with reflecting(made) as store:
        await trio.sleep(10)
        assert store.words == [("synced",), ("lost", "too_new"), ("synced",)]
        (first, _), (second, _) = [asked for asked in made.asked() if asked[1] == "list"]
        assert second - first >= 1
        assert store.lists == ["start", "error"]


async def test_a_watch_from_the_future_is_silent_and_leads_to_a_list(made: Cluster, autojump_clock: MockClock) -> None:
    """Its storage is an older one than before: there is neither an event nor a bookmark nor an error."""
    made.server.storage.version += 10_000
    async with reflecting(made) as store:
        await trio.sleep(5)
        made.crash()
        made.server.storage.version -= 10_000
        made.sync(*pods(3))
        made.listen()
        await trio.sleep(140)
        assert store.pods() == seen(2)
        await trio.sleep(20)
        assert store.lists == ["start", "silence"]
        assert store.pods() == seen(3)


async def test_packets_that_are_swallowed(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        await trio.sleep(10)
        made.server.mute(True)
        made.sync(*pods(3))
        await trio.sleep(200)
        assert store.lists == ["start", "silence", "silence"]  # the second one after a timeout
        assert store.words == [("synced",), ("lost", "timeout")]
        assert store.pods() == seen(2)
        made.server.mute(False)
        await trio.sleep(120)
        assert store.words == [("synced",), ("lost", "timeout"), ("synced",)]
        assert store.pods() == seen(3)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 3000])
async def test_a_watch_that_is_cut_anywhere_goes_on(made: Cluster, autojump_clock: MockClock, size: int) -> None:
    made.server.faults.add(kind="cut", where="watch", size=size)
    async with reflecting(made) as store:
        for count in (3, 4, 5):
            made.sync(*pods(count))
            await trio.sleep(0.1)
        await trio.sleep(10)
        assert store.pods() == seen(5)
        assert set(store.failures) <= {"connect"}
        assert store.words == [("synced",)]


@pytest.mark.parametrize("kind", ["cut", "garbage", "reset"])
async def test_a_list_that_is_not_whole_changes_nothing(made: Cluster, autojump_clock: MockClock, kind: str) -> None:
    async with reflecting(made) as store:
        made.server.faults.add(kind=kind, where="list", size=200)
        made.server.faults.add(kind="error", where="watch", status=500)
        made.sync(*pods(3))
        made.crash()
        made.listen()
        await trio.sleep(20)
        assert store.pods() == seen(3)
        assert store.words[-1] == ("synced",)
        assert store.lists[-2:] == ["error", "error"]


# ---- statuses ----


async def test_server_errors(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="answer", where="watch", status=503, times=2)
    async with reflecting(made) as store:
        await trio.sleep(60)
        assert store.failures == ["server_error"] * 2
        assert store.lists == ["start"]
        assert store.words == [("synced",)]


async def test_a_server_that_fails_at_one_version_only(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="answer", where="watch", status=500, times=3)
    async with reflecting(made) as store:
        await trio.sleep(60)
        assert store.lists == ["start", "error"]
        assert store.words[-1] == ("synced",)


@pytest.mark.parametrize(("said", "least"), [(20, 20), (None, 0.8), (1, 1), (10**9, 60)])
async def test_a_server_that_has_too_much_to_do(
    made: Cluster, autojump_clock: MockClock, said: int | None, least: float
) -> None:
    made.server.faults.add(kind="answer", where="watch", status=429, retry_after=said)
    async with reflecting(made) as store:
        await trio.sleep(130)
        first, second, *_ = (time for time, kind in made.asked() if kind == "watch")
        assert least <= second - first <= max(least, 1.6)
        assert store.failures == ["throttled"]


async def test_a_token_that_was_replaced(made: Cluster, autojump_clock: MockClock) -> None:
    async with reflecting(made) as store:
        made.server.token = "token-2"
        made.write_token("token-2")
        made.crash()
        made.listen()
        await trio.sleep(5)
        made.sync(*pods(3))
        await trio.sleep(0.1)
        assert store.pods() == seen(3)
        assert store.words == [("synced",)]
        assert {each.headers["authorization"] for each in made.requests()} == {"Bearer token-1", "Bearer token-2"}


async def test_a_token_that_is_replaced_while_it_is_used(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.faults.add(kind="answer", where="list", status=401)
    async with reflecting(made) as store:
        await trio.sleep(1)
        assert store.words == [("synced",)]
        assert made.asked()[:2] == [(0.0, "list"), (0.0, "list")]


async def test_a_token_that_is_no_good(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.token = "another"
    async with reflecting(made) as store:
        await trio.sleep(60)
        assert store.words == [("lost", "unauthorized"), ("denied", 401)]
        assert store.told[0][0] == 0
        assert 3 <= len(made.asked()) <= 9
        made.write_token("another")
        await trio.sleep(60)
        assert store.words == [("lost", "unauthorized"), ("denied", 401), ("synced",)]


async def test_no_permission(made: Cluster, autojump_clock: MockClock) -> None:
    made.server.namespaces.clear()
    async with reflecting(made) as store:
        await trio.sleep(100)
        assert store.told == [(3.0, "lost", "forbidden"), (3.0, "denied", 403)]
        assert [time for time, _ in made.asked()] == [0, 0.2, 1, 3, 33, 63, 93]
        made.server.namespaces.add("voice")
        await trio.sleep(30)
        assert store.words[-1] == ("synced",)


@pytest.mark.parametrize("status", [302, 400, 404, 406])
async def test_an_answer_that_nobody_expects(made: Cluster, autojump_clock: MockClock, status: int) -> None:
    made.server.faults.add(kind="answer", where="list", status=status)
    async with reflecting(made) as store:
        await trio.sleep(10)
        assert store.failures == ["error"]
        assert store.words == [("lost", "error"), ("synced",)]


async def test_no_token_file(made: Cluster, autojump_clock: MockClock) -> None:
    (made.directory / "token").unlink()
    async with reflecting(made) as store:
        await trio.sleep(20)
        assert set(store.failures) == {"token"}
        assert store.told == [(5.0, "lost", "token")]
        assert made.asked() == []
        made.write_token("token-1")
        await trio.sleep(60)
        assert store.words[-1] == ("synced",)


async def test_a_large_service(made: Cluster, autojump_clock: MockClock) -> None:
    many = [Pod(f"pod-{i}", f"10.1.{i // 250}.{i % 250}") for i in range(500)]
    async with reflecting(made) as store:
        made.server.controller.sync("voice", "voice-agent", many, PORTS)
        await trio.sleep(0.001)
        assert len(store.pods()) == 500
        assert len(store.services["voice-agent"]) == 5
        made.server.controller.sync("voice", "voice-agent", many[:20], PORTS)
        await trio.sleep(0.001)
        assert len(store.pods()) == 20
