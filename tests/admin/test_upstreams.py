from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.admin.upstreams import listed
from splicer.config.load import load
from splicer.ipc.queries import EndpointRow
from tests.admin.rig import CONFIG, endpoint, rig

_STATES = st.sampled_from(["up", "down", "unknown"])
_ADDRESSES = {"a": "127.0.0.1", "b": "127.0.0.2"}


def _endpoints(*rows: EndpointRow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = listed(load(CONFIG, environ={}), list(rows))[0]["endpoints"]
    return found


async def test_all_upstreams_and_what_all_workers_know() -> None:
    async with rig() as admin:
        admin.worker(1, endpoints=[endpoint("pod-1", "127.0.0.11", tunnels=2, requests=3)])
        admin.worker(
            2,
            endpoints=[
                endpoint("pod-2", "127.0.0.12", "down", failure="connect_refused"),
                endpoint("pods.test", "127.0.0.11", "unknown", None, upstream="any-pod"),
            ],
        )
        status, body = await admin.ask("GET", "/upstreams")
        assert (status, body["missing_workers"]) == (200, [])
        known: dict[str, Any] = {"port": 8000, "source": "dns"}
        up = {"pod": "pod-1", "address": "127.0.0.11", "state": "up", "failure": None, "since_s": 1.0, "tunnels": 2}
        up |= {"requests": 3}
        down = {"pod": "pod-2", "address": "127.0.0.12", "state": "down", "failure": "connect_refused"}
        untried = {"pod": "pods.test", "address": "127.0.0.11", "state": "unknown", "failure": None, "since_s": None}
        assert body["upstreams"] == [
            {
                "name": "pod",
                "address": "{pod}.pods.test:8000",
                "balance": "least-tunnels",
                "allow": ["127.0.0.0/8"],
                "max_tunnels": None,
                "max_requests": None,
                "endpoints": [known | up, known | down | {"since_s": 1.0, "tunnels": 0, "requests": 0}],
            },
            {
                "name": "any-pod",
                "address": "pods.test:8000",
                "balance": "least-tunnels",
                "allow": ["127.0.0.0/8"],
                "max_tunnels": None,
                "max_requests": None,
                "endpoints": [known | untried | {"tunnels": 2, "requests": 3}],  # of the endpoint, not of the upstream
            },
        ]


@pytest.mark.parametrize(
    ("one", "other", "state", "since_s"),
    [
        (("up", 5.0), ("down", 2.0), "down", 2.0),
        (("down", 5.0), ("up", 2.0), "up", 2.0),
        (("unknown", None), ("up", 900.0), "up", 900.0),
        (("unknown", None), ("unknown", None), "unknown", None),
    ],
)
def test_who_learned_last_knows_best(
    one: tuple[str, float | None], other: tuple[str, float | None], state: str, since_s: float | None
) -> None:
    for first, second in ((one, other), (other, one)):
        [row] = _endpoints(*(endpoint("pod-1", "127.0.0.11", *said, tunnels=2, requests=1) for said in (first, second)))
        assert (row["state"], row["since_s"], row["tunnels"], row["requests"]) == (state, since_s, 4, 2)


def test_one_of_an_upstream_that_is_no_more_is_left_out() -> None:
    assert _endpoints(endpoint("pod-1", "127.0.0.11", upstream="gone")) == []


def test_names_addresses_and_ports_tell_endpoints_apart() -> None:
    rows = [endpoint(pod, address, port=port) for pod in "ba" for address in ("127.0.0.1", "::1") for port in (2, 1)]
    places = [(row["pod"], row["address"], row["port"]) for row in _endpoints(*rows)]
    assert len(places) == 8
    assert places == sorted(places)


# Each worker tells of each endpoint at most once; in which order they are heard says nothing.
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.tuples(_STATES, st.integers(0, 9))), max_size=4), st.data()
)
def test_no_tunnel_is_lost_and_none_counted_twice(
    workers: list[dict[str, tuple[str, int]]], data: st.DataObject
) -> None:
    rows = [
        endpoint(pod, _ADDRESSES[pod], state, None if state == "unknown" else float(tunnels), tunnels=tunnels)
        for worker in workers
        for pod, (state, tunnels) in worker.items()
    ]
    counts = {row["pod"]: row["tunnels"] for row in _endpoints(*data.draw(st.permutations(rows)))}
    pods = {pod for worker in workers for pod in worker}
    assert counts == {pod: sum(worker.get(pod, ("", 0))[1] for worker in workers) for pod in pods}
