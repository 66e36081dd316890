"""What can be drained, by which name."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.admin.dispatch import Refused
from splicer.admin.drain_targets import DrainTargets, scope_of
from splicer.errors import BadRequest
from tests.admin.rig import CONFIG, Rig, endpoint, rig, tunnel

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
# One that refuses at once.
_UNNAMED = CONFIG.replace("[resolver.hosts]", 'resolver.nameservers = ["127.0.0.1:1"]\n[resolver.hosts]')
_WORDS = st.text(st.sampled_from("ab-_.:0A \nü"), max_size=12) | st.text()


def targets(admin: Rig) -> DrainTargets:
    return DrainTargets(admin.workers, admin.current)


# ---- names ----


@pytest.mark.parametrize("body", [None, {}])
def test_without_a_name_it_is_the_whole_edge(body: dict[str, Any] | None) -> None:
    assert scope_of(body) == ("all", "")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"pod": "pod-1", "route": "call"}, "either a pod or a route, one at a time"),
        ({"pod": 1}, "pod must be a name"),
        ({"pod": None}, "pod must be a name"),
        ({"pod": ""}, "pod must be a name"),
        ({"route": ["call"]}, "route must be a name"),
        ({"pod": "pod 1"}, "pod 'pod 1' is neither a DNS name nor an address"),
        ({"pod": "a..b"}, "pod 'a..b' is neither a DNS name nor an address"),
        ({"pod": "-a"}, "pod '-a' is neither a DNS name nor an address"),
        ({"pod": "a-"}, "pod 'a-' is neither a DNS name nor an address"),
        ({"pod": "a\n"}, "pod 'a\\n' is neither a DNS name nor an address"),
        ({"pod": "x" * 64}, f"pod '{'x' * 64}' is neither a DNS name nor an address"),
        ({"pod": ".".join(["x" * 63] * 4)}, "is neither a DNS name nor an address"),
    ],
)
def test_what_names_nothing(body: Any, error: str) -> None:
    with pytest.raises(BadRequest) as caught:
        scope_of(body)
    assert caught.value.detail.endswith(error)


@given(_WORDS)
def test_a_pod_has_one_name(text: str) -> None:
    try:
        scope, name = scope_of({"pod": text})
    except BadRequest:
        return
    assert (scope, scope_of({"pod": name})) == ("pod", (scope, name))
    assert scope_of({"pod": name.upper() + ("" if ":" in name else ".")}) == (scope, name)


@given(st.ip_addresses(v=6))
def test_an_address_has_one_name_however_it_is_written(address: IPv6Address) -> None:
    assert scope_of({"pod": address.exploded.upper()}) == scope_of({"pod": address.compressed}) == ("pod", str(address))


def test_a_routes_name_stays_as_it_is() -> None:
    assert scope_of({"route": "Call. ü"}) == ("route", "Call. ü")


# Each place where a name could be taken apart in two ways would double the time.
def test_a_long_name_is_refused_at_once() -> None:
    with pytest.raises(BadRequest):
        scope_of({"pod": "a" * 30 + "-a" * 100_000 + "!"})


# ---- who knows them ----


async def test_a_route_with_calls_can_be_drained_and_no_other() -> None:
    async with rig() as admin:
        await targets(admin).check("route", "call")
        with pytest.raises(BadRequest, match="'health' answers by itself"):
            await targets(admin).check("route", "health")
        with pytest.raises(Refused, match="no route is called 'nothing'"):
            await targets(admin).check("route", "nothing")


async def test_the_edge_can_be_drained_before_there_is_a_configuration() -> None:
    async with rig(None) as admin:
        await targets(admin).check("all", "")


@pytest.mark.parametrize(
    "pod",
    [
        "pod-1",  # by the resolver
        "called",  # by a worker's tunnel
        "tried",  # by a worker's endpoint
        "127.0.0.77",  # by a tunnel's address
        "::7",
        "127.0.0.78",  # by an endpoint's
        "pods.test",  # by the configuration
    ],
)
async def test_a_pod_that_somebody_knows(pod: str) -> None:
    async with rig() as admin:
        admin.worker(
            1, tunnels=[tunnel("a", pod="called", address="127.0.0.77"), tunnel("b", "other", endpoint="[::7]:8000")]
        )
        admin.worker(2, endpoints=[endpoint("tried", "127.0.0.78", "down")])
        await targets(admin).check("pod", pod)


@pytest.mark.parametrize("pod", ["pod-3", "10.0.0.1", "pod"])
async def test_a_pod_that_nobody_knows(pod: str, mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(_UNNAMED) as admin:
        admin.worker(1, tunnels=[tunnel("a")], endpoints=[endpoint("pod-1", "127.0.0.11")])
        with pytest.raises(Refused) as refused:
            await targets(admin).check("pod", pod)
    said = f"pod '{pod}': no worker has a tunnel to it or an endpoint of that name, nor does it resolve"
    assert (refused.value.status, str(refused.value)) == (404, said)


async def test_a_pod_that_only_a_silent_worker_may_know(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig() as admin:
        admin.worker(1).mute = True
        with pytest.raises(Refused) as refused:
            await targets(admin).check("pod", "10.0.0.1")
    said = "who answers knows no pod '10.0.0.1'; no answer from worker 1"
    assert (refused.value.status, str(refused.value)) == (503, said)
