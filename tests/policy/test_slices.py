from __future__ import annotations

import random
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.policy.slices import SKIPPED, EndpointSlice, NotASlice, Row, Rows, read_slice, rows_of
from tests.kit.laws import examples

Thing = dict[str, Any]


def endpoint(address: str = "10.0.0.1", name: str | None = "pod-1", uid: str | None = "u1", **more: Any) -> Thing:
    target = {"kind": "Pod", "name": name, "uid": uid}
    return {"addresses": [address], "conditions": {"ready": True}, "hostname": name, "targetRef": target} | more


def slice_(*endpoints: Any, ports: Any = ("ws", 8000), family: str = "IPv4", uid: str = "s1") -> EndpointSlice:
    listed = [{"name": ports[0], "protocol": "TCP", "port": ports[1]}] if isinstance(ports, tuple) else ports
    metadata = {"uid": uid, "labels": {"kubernetes.io/service-name": "voice-agent"}}
    return read_slice({"metadata": metadata, "addressType": family, "endpoints": list(endpoints), "ports": listed})


def one(thing: Thing, **how: Any) -> Row:
    [row] = rows_of([slice_(thing, **how)], 8000).rows
    return row


# ---- conditions (types.go, EndpointConditions) ----


@pytest.mark.parametrize(
    ("conditions", "flags"),
    [
        ({}, (True, True, False)),
        (None, (True, True, False)),
        ({"ready": None, "serving": None, "terminating": None}, (True, True, False)),
        ({"ready": True, "serving": True, "terminating": False}, (True, True, False)),
        ({"ready": False}, (False, False, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
        ({"ready": True, "serving": False, "terminating": False}, (True, False, False)),  # publishNotReadyAddresses
        ({"ready": False, "serving": False, "terminating": False}, (False, False, False)),  # a new pod
        ({"ready": "yes", "serving": 1}, (True, True, False)),  # nonsense
    ],
)
def test_conditions(conditions: object, flags: tuple[bool, bool, bool]) -> None:
    row = one(endpoint(conditions=conditions))
    assert (row.ready, row.serving, row.terminating) == flags


# ---- names ----


@pytest.mark.parametrize(
    ("fields", "pod", "uid"),
    [
        ({}, "pod-1", "u1"),
        ({"hostname": None}, "pod-1", "u1"),
        ({"hostname": ""}, "pod-1", "u1"),
        ({"hostname": "other"}, "other", "u1"),
        ({"targetRef": None}, "pod-1", None),
        ({"targetRef": None, "hostname": None}, None, None),
        ({"targetRef": {"kind": "Node", "name": "node-1", "uid": "u2"}, "hostname": None}, None, None),
        ({"targetRef": {"kind": "Pod", "name": "web.v2-abc", "uid": "u2"}, "hostname": None}, None, "u2"),
    ],
)
def test_the_name_of_a_pod(fields: Thing, pod: str | None, uid: str | None) -> None:
    row = one(endpoint(**fields))
    assert (row.pod, row.uid) == (pod, uid)


def test_the_zone() -> None:
    assert one(endpoint(zone="asia-south1-a")).zone == "asia-south1-a"
    assert one(endpoint(zone="")).zone is None


# ---- what gives no row ----


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"addresses": []}, "address"),
        ({"addresses": None}, "address"),
        ({"addresses": ["pod-1.example"]}, "address"),
        ({"addresses": ["010.0.0.1"]}, "address"),
        ({"addresses": [7]}, "address"),
        ({"addresses": ["fd00::1"]}, "family"),
        ({"hostname": "Pod_1"}, "name"),
        ({"hostname": "a" * 64}, "name"),
        ({"hostname": "-a"}, "name"),
        ({"hostname": "a\nb"}, "name"),
    ],
)
def test_an_endpoint_that_gives_no_row(fields: Thing, reason: str) -> None:
    found = rows_of([slice_(endpoint("10.0.0.2"), endpoint(**fields))], 8000)
    assert [row.address for row in found.rows] == ["10.0.0.2"]
    assert found.skipped == {reason: 1}


def test_the_first_address_counts() -> None:
    assert one(endpoint(addresses=["10.0.0.9", "10.0.0.8"])).address == "10.0.0.9"


def test_an_address_with_a_scope() -> None:
    assert rows_of([slice_(endpoint("fe80::1%eth0"), family="IPv6")], 8000).skipped == {"address": 1}


def test_names_instead_of_addresses() -> None:
    assert rows_of([slice_(endpoint(), family="FQDN")], 8000).skipped == {"family": 1}


# ---- ports ----


@pytest.mark.parametrize("ports", [None, [], ("ws", 8000), ("", 8000), [{"port": 8000}], [{"port": None}]])
def test_a_number_that_is_listed_or_none_is(ports: Any) -> None:
    found = rows_of([slice_(endpoint(), ports=ports)], 8000)
    assert [row.port for row in found.rows] == [8000]
    assert found.port_listed


@pytest.mark.parametrize("ports", [("ws", 9000), [{"port": 8000, "protocol": "UDP"}], [{"port": 1}]])
def test_a_number_that_is_not_listed(ports: Any) -> None:
    assert rows_of([slice_(endpoint(), ports=ports)], 8000) == Rows((), {"port": 1}, port_listed=False)


def test_pods_whose_port_has_a_number_of_its_own() -> None:
    old = slice_(endpoint("10.0.0.1"), ports=("http", 8080), uid="s1")
    new = slice_(endpoint("10.0.0.2", "pod-2", "u2"), ports=("http", 9090), uid="s2")
    named = rows_of([old, new], "http")
    assert [(row.address, row.port) for row in named.rows] == [("10.0.0.1", 8080), ("10.0.0.2", 9090)]
    assert named.port_listed
    numbered = rows_of([old, new], 9090)
    assert [row.address for row in numbered.rows] == ["10.0.0.2"]
    assert numbered.port_listed


@pytest.mark.parametrize(
    "ports", [None, ("ws", 8000), ("http", 0), ("http", 65536), ("http", None), ("http", "80"), ("http", True)]
)
def test_a_port_that_no_slice_has_by_name(ports: Any) -> None:
    found = rows_of([slice_(endpoint(), ports=ports)], "http")
    assert found == Rows((), {"port": 1}, port_listed=False)


def test_a_service_without_pods_lists_nothing_that_could_be_missed() -> None:
    empty = read_slice({"metadata": METADATA, "addressType": "IPv4", "endpoints": None, "ports": None})
    assert rows_of([empty], "http") == rows_of([empty], 8000) == Rows((), {}, port_listed=True)
    assert rows_of([], 8000).rows == ()


METADATA = {"uid": "s1", "labels": {"kubernetes.io/service-name": "voice-agent"}}


# ---- several slices ----


def test_two_families() -> None:
    v6 = slice_(endpoint("fd00::1"), family="IPv6", uid="s6")
    v4 = slice_(endpoint("10.0.0.1"), uid="s4")
    assert [row.address for row in rows_of([v6, v4], 8000).rows] == ["10.0.0.1", "fd00::1"]
    assert {row.pod for row in rows_of([v6, v4], 8000).rows} == {"pod-1"}
    assert [row.address for row in rows_of([v6, v4], 8000, ipv6=False).rows] == ["10.0.0.1"]


def test_one_spelling_of_an_address() -> None:
    a, b = (slice_(endpoint(text), family="IPv6", uid=text) for text in ("fd00:0:0::1", "FD00::1"))
    assert [row.address for row in rows_of([a, b], 8000).rows] == ["fd00::1"]


def test_a_pod_in_two_slices_is_as_it_was_heard_of_last() -> None:
    ready = slice_(endpoint(), uid="a")
    ended = slice_(endpoint(conditions={"ready": False, "serving": True, "terminating": True}), uid="b")
    assert rows_of([ready, ended], 8000).rows[0].terminating
    assert not rows_of([ended, ready], 8000).rows[0].terminating


def test_an_address_that_another_pod_has_now() -> None:
    """kubernetes#135593: the old pod, terminating, still stands in a slice."""
    old = slice_(endpoint(conditions={"ready": False, "serving": True, "terminating": True}), uid="a")
    new = slice_(endpoint(name="pod-2", uid="u2"), uid="b")
    for slices in ([old, new], [new, old]):
        [row] = rows_of(slices, 8000).rows
        assert (row.pod, row.uid, row.ready) == ("pod-2", "u2", True)


def test_of_two_pods_alike_the_one_that_was_heard_of_last() -> None:
    a, b = slice_(endpoint(), uid="a"), slice_(endpoint(name="pod-2", uid="u2"), uid="b")
    assert rows_of([a, b], 8000).rows[0].pod == "pod-2"
    assert rows_of([b, a], 8000).rows[0].pod == "pod-1"


# ---- what is no slice ----


@pytest.mark.parametrize(
    "thing",
    [
        None,
        7,
        "x",
        [],
        {},
        {"metadata": None},
        {"metadata": {"uid": "u"}},
        {"metadata": METADATA | {"uid": ""}},
    ],
)
def test_what_is_no_slice(thing: object) -> None:
    with pytest.raises(NotASlice):
        read_slice(thing)


# ---- laws ----

_pods = st.lists(
    st.tuples(
        st.integers(1, 40),  # the last part of the address
        st.booleans(),  # IPv6
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.sampled_from([None, True, False]))
        ),
        st.sampled_from([None, "a", "b"]),
    ),
    unique_by=lambda pod: pod[:2],
    max_size=30,
)


def _slices(pods: list[Any], most: int) -> list[EndpointSlice]:
    made = []
    for v6 in (False, True):
        own = [pod for pod in pods if pod[1] is v6]
        for at in range(0, len(own), most):
            endpoints = [
                endpoint(f"fd00::{n}" if v6 else f"10.0.0.{n}", f"pod-{n}", f"u{n}", conditions=conditions, zone=zone)
                for n, _, conditions, zone in own[at : at + most]
            ]
            made.append(slice_(*endpoints, family="IPv6" if v6 else "IPv4", uid=f"s{v6}{at}"))
    return made


@settings(max_examples=examples(40))
@given(_pods, st.integers(1, 7), st.randoms(use_true_random=False))
def test_how_pods_are_put_into_slices_makes_no_difference(pods: list[Any], most: int, rng: random.Random) -> None:
    expected = rows_of(_slices(pods, 100), 8000)
    assert {(row.address, row.pod) for row in expected.rows} == {
        (f"fd00::{n}" if v6 else f"10.0.0.{n}", f"pod-{n}") for n, v6, _, _ in pods
    }
    assert len(expected.rows) == len(pods)
    slices = _slices(pods, most)
    rng.shuffle(slices)
    assert rows_of(slices, 8000) == expected


@settings(max_examples=examples(40))
@given(_pods, _pods)
def test_a_pod_that_moves_is_never_missed_or_doubled(before: list[Any], after: list[Any]) -> None:
    both = [*_slices(before, 100), *_slices(after, 3)]
    rows = rows_of(both, 8000).rows
    keys = [(row.address, row.port) for row in rows]
    assert len(keys) == len(set(keys))
    assert set(rows_of(_slices(after, 3), 8000).rows) <= set(rows)  # the same uids, heard of last
    assert {row.pod for row in rows} == {f"pod-{n}" for n, *_ in (*before, *after)}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("x") | st.sampled_from(["IPv4", "10.0.0.1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["addresses", "conditions", "ready", "hostname", "targetRef", "kind", "name", "uid", "port", "protocol"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=examples(40))
@given(_json, _json, _json, st.sampled_from(["IPv4", "IPv6", "FQDN", None, 4]), st.sampled_from([8000, "http"]))
def test_nonsense_gives_no_row_and_no_error(
    endpoints: object, ports: object, more: object, family: object, port: int | str
) -> None:
    thing = {"metadata": METADATA, "addressType": family, "endpoints": endpoints, "ports": ports}
    found = rows_of([read_slice(thing), slice_(more)], port)
    assert found.skipped.keys() <= set(SKIPPED)
    for row in found.rows:
        assert 1 <= row.port <= 65535
        assert ip_address(row.address)
