"""What a worker shows of its tunnels: true, in batches, and without what is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.ipc.codec import to_object
from splicer.ipc.queries import AskTunnels, CountRow, PlaceRow, TunnelRow
from splicer.model import Endpoint
from splicer.observe import tunnel_rows
from splicer.observe.tunnel_choice import TunnelRates
from splicer.record import Record
from splicer.relay.api import LiveTunnels
from tests.observe.still import StillRelay, record, still
from tests.relay.harness import Edge, unix_pair

_SLOT = 2


def batches_of(relay: LiveTunnels[Record], **wanted: Any) -> Iterator[list[TunnelRow]]:
    return tunnel_rows.tunnels(relay, _SLOT, AskTunnels(1, **wanted), TunnelRates(relay))


def shown(relay: LiveTunnels[Record]) -> list[dict[str, Any]]:
    return [to_object(row) for rows in batches_of(relay) for row in rows]


# ---- the rows ----


async def test_a_row_says_all_that_there_is_to_know(mock_clock: MockClock) -> None:
    mock_clock.jump(100)
    one = still(record(7, started=trio.current_time() - 12.5, adopted=3))
    one.to_pod, one.to_client, one.last = 300, 5000, trio.current_time() - 2.25
    assert shown(StillRelay(one)) == [
        {
            "id": "0000000000000007",
            "route": "call",
            "pod": "pod-1",
            "upstream": "pod",
            "endpoint": "10.0.0.1:8000",
            "client": "192.0.2.7",
            "path": "/ws/pod/pod-1/x",
            "protocol": "websocket",
            "age_s": 12.5,
            "idle_s": 2.25,
            "bytes_to_pod": 300,
            "bytes_to_client": 5000,
            "worker": _SLOT,
            "adopted": 3,
            "client_rtt_ms": None,
            "client_retransmits": None,
            "pod_rtt_ms": None,
            "pod_retransmits": None,
            "via": None,
            "host": "edge.test",
            "rate": None,
        }
    ]


async def test_a_row_of_a_real_tunnel(edge: Edge) -> None:
    call = await edge.call(to_client=b"101", uncounted=3, owner=record(9))
    assert shown(edge.hub)[0]["bytes_to_client"] == 0
    await call.client.read(3)
    await call.client.send(b"f" * 160)
    await call.pod.read(160)
    await call.pod.send(b"f" * 320)
    await call.client.read(320)
    [row] = shown(edge.hub)
    assert (row["id"], row["bytes_to_pod"], row["bytes_to_client"]) == (f"{9:016x}", 160, 320)
    for side in ("client", "pod"):
        assert 0 < row[f"{side}_rtt_ms"] < 10_000
        assert row[f"{side}_retransmits"] >= 0


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (None, ""),
        ("/" + "x" * 255, "/" + "x" * 255),
        ("/" + "x" * 256, "/" + "x" * 255 + "…"),
        ("/" + "x" * 30_000, "/" + "x" * 255 + "…"),
    ],
)
async def test_a_long_path_is_cut(path: str | None, told: str) -> None:
    assert shown(StillRelay(still(record(path=path))))[0]["path"] == told


@pytest.mark.parametrize("key", ["client", "protocol", "route"])
async def test_no_other_text_is_longer(key: str) -> None:
    one = record()
    setattr(one, key, "x" * 30_000)
    assert shown(StillRelay(still(one)))[0][key] == "x" * 256 + "…"


async def test_without_an_endpoint_there_is_none_to_show() -> None:
    [row] = shown(StillRelay(still(record(endpoint=None))))
    assert (row["pod"], row["endpoint"]) == ("", None)


async def test_an_ipv6_endpoint_is_shown_as_urls_have_it() -> None:
    assert shown(StillRelay(still(record(endpoint=Endpoint("p", "fd00::1", 80)))))[0]["endpoint"] == "[fd00::1]:80"


# ---- in batches ----


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (2, [2]), (5, [2, 2, 1])])
async def test_rows_come_in_batches_oldest_first(count: int, sizes: list[int]) -> None:
    relay = StillRelay(*(still(record(number)) for number in range(count)))
    batches = list(batches_of(relay))
    assert [len(rows) for rows in batches] == sizes
    assert [int(row.id, 16) for rows in batches for row in rows] == list(range(count))


async def test_what_ends_between_two_batches_is_not_shown_and_times_are_of_the_batch(mock_clock: MockClock) -> None:
    relay = StillRelay(*(still(record(number)) for number in range(32)))
    batches = batches_of(relay)
    assert next(batches)[-1].age_s == 0
    relay.shown[2].alive = False
    del relay.shown[:2]
    mock_clock.jump(7)
    rest = next(batches)
    assert [int(row.id, 16) for row in rest] == [3]
    assert {row.age_s for row in rest} == {7}


async def test_the_first_ones_alone_if_no_more_are_wanted() -> None:
    relay = StillRelay(*(still(record(number)) for number in range(40)))
    rows = [row for rows in batches_of(relay, most=20) for row in rows]
    assert [int(row.id, 16) for row in rows] == list(range(20))


# ---- the counts ----


async def test_where_tunnels_are() -> None:
    other = Endpoint("pod-2", "fd00::2", 8000)
    relay = StillRelay(*(still(record(number)) for number in range(300)))
    relay.shown += [still(record(endpoint=other, route="web")), still(record(endpoint=None, route=None, upstream=None))]
    relay.shown[0].alive = False
    batches = list(tunnel_rows.places(relay))
    assert batches[:2] == [[], []], "256 at a time"
    assert batches[2:] == [
        [
            PlaceRow("call", "pod-1", "pod", "10.0.0.1:8000", 299),
            PlaceRow("web", "pod-2", "pod", "[fd00::2]:8000", 1),
            PlaceRow("", "", "", "", 1),
        ]
    ]


def _added(relay: LiveTunnels[Record]) -> tuple[dict[tuple[str, str], int], int, int, list[list[CountRow]]]:
    batches = list(tunnel_rows.counts(relay, _SLOT))
    rows = [row for batch in batches for row in batch]
    assert all(row.slot == _SLOT for row in rows)
    groups = [(route, pod, count) for row in rows for route, pod, count in row.tunnels]
    assert len({(route, pod) for route, pod, _ in groups}) == len(groups), "a group is told once"
    return (
        {(route, pod): count for route, pod, count in groups},
        sum(row.to_pod for row in rows),
        sum(row.to_client for row in rows),
        batches,
    )


async def test_tunnels_and_their_bytes_add_up() -> None:
    at = [("call", "pod-1", 100, 10), ("call", "pod-1", 200, 0), ("call", "pod-2", 0, 7), (None, "pod-1", 1, 1)]
    relay = StillRelay()
    for route, pod, to_pod, to_client in at:
        one = still(record(route=route, endpoint=Endpoint(pod, "10.0.0.1", 8000)))
        one.to_pod, one.to_client = to_pod, to_client
        relay.shown.append(one)
    over, nowhere = still(), still(record(endpoint=None))
    over.alive = False
    over.to_pod = over.to_client = 10_000
    relay.shown += [over, nowhere]
    groups, to_pod, to_client, _ = _added(relay)
    assert groups == {("call", "pod-1"): 2, ("call", "pod-2"): 1, ("", "pod-1"): 1, ("call", ""): 1}
    assert (to_pod, to_client) == (301, 18)


async def test_where_nothing_lives_there_are_zeros() -> None:
    assert [row for rows in tunnel_rows.counts(StillRelay(), _SLOT) for row in rows] == [CountRow((), 0, 0, _SLOT)]


async def test_many_are_counted_with_pauses_and_told_in_parts() -> None:
    many = [still(record(number, endpoint=Endpoint(f"pod-{number}", "10.0.0.1", 80))) for number in range(600)]
    for one in many:
        one.to_pod = 1
    groups, to_pod, _, batches = _added(StillRelay(*many))
    assert (len(groups), to_pod) == (600, 600)
    assert [len(rows) for rows in batches[:3]] == [0, 0, 0], "256 at a time"
    assert max(len(row.tunnels) for rows in batches for row in rows) == 16


# ---- one of them ----


async def test_a_tunnel_is_found_by_its_id() -> None:
    relay = StillRelay(*(still(record(number)) for number in range(5)))
    assert tunnel_rows.find(relay, f"{3:016x}") is relay.shown[3]
    for nobody in ("3", f"{5:016x}", ""):
        assert tunnel_rows.find(relay, nobody) is None


async def test_what_is_none_of_tcps_has_no_line(edge: Edge) -> None:
    await edge.call(pair=unix_pair, owner=record())
    [row] = shown(edge.hub)
    assert (row["client_rtt_ms"], row["pod_retransmits"]) == (None, None)
