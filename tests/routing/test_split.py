from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.model import RequestHead, Split, Upstream
from splicer.patterns import HashOn
from splicer.routing.split import by_chance, by_key, key_of
from splicer.routing.template import parse_template

CHOICES = 10_000


def split(**weights: int) -> Split:
    return Split(tuple((Upstream(name, parse_template("a"), 80), weight) for name, weight in weights.items()))


def expect_shares(chosen: Counter[str], weights: dict[str, int]) -> None:
    """Within three standard deviations of the binomial distribution; the draws are the same in every run."""
    assert chosen.total() == CHOICES
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(chosen[name] - CHOICES * share) <= 3 * math.sqrt(CHOICES * share * (1 - share)), name


WEIGHTS = [
    {"stable": 95, "canary": 5},
    {"canary": 5, "stable": 95},
    {"a": 1, "b": 2, "c": 3, "none": 0, "d": 1},
    {"none": 0, "all": 7},
    {"huge": 1_000_000, "small": 1000},
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_chance_chooses_as_often_as_the_weights_say(weights: dict[str, int]) -> None:
    draw = random.Random(14).random
    expect_shares(Counter(by_chance(split(**weights), draw()).name for _ in range(CHOICES)), weights)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_keys_are_spread_as_the_weights_say(weights: dict[str, int]) -> None:
    keys = (b"account-%d" % number for number in range(CHOICES))
    expect_shares(Counter(by_key(split(**weights), key).name for key in keys), weights)


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("weights", [*WEIGHTS, {"a": 3, "b": 0}, {"z": 999_999}])
def test_every_number_leads_to_an_upstream_with_a_weight(number: float, weights: dict[str, int]) -> None:
    assert weights[by_chance(split(**weights), number).name]


names = st.sampled_from(["stable", "canary", "third", "fourth"])
weights = st.dictionaries(names, st.integers(0, 100), min_size=1).filter(lambda table: any(table.values()))
KEYS = [b"key %d" % number for number in range(50)]


@given(weights, names, st.integers(1, 1000))
def test_a_higher_weight_moves_keys_to_its_upstream_alone(table: dict[str, int], name: str, more: int) -> None:
    before = split(**table)
    after = split(**{**table, name: table.get(name, 0) + more})  # which may be a new upstream
    for key in KEYS:
        was, now = by_key(before, key).name, by_key(after, key).name
        assert now in (was, name)


@given(weights, st.randoms(use_true_random=False))
def test_the_order_in_the_file_does_not_matter_to_a_key(table: dict[str, int], dice: random.Random) -> None:
    shares = list(split(**table).shares)
    dice.shuffle(shares)
    for key in KEYS:
        assert by_key(Split(tuple(shares)), key) == by_key(split(**table), key)


# Other workers, other versions and other machines must choose the same.
def test_a_key_s_upstream_is_the_same_everywhere() -> None:
    chosen = [by_key(split(stable=50, canary=50), b"%d" % number).name for number in range(8)]
    assert chosen == EVERYWHERE


EVERYWHERE = ["stable", "canary", "canary", "stable", "canary", "stable", "stable", "stable"]


HEAD = RequestHead(
    "GET",
    "/",
    "/",
    "a=1&%62=x+y&c=",
    "h",
    "1.1",
    (
        (b"X-Account", b"7"),
        (b"Cookie", b"sid=abc; theme = dark;half"),
        (b"x-account", b"8"),
        (b"Cookie", b"late=1; sid=2"),
        (b"Empty", b""),
    ),
)


@pytest.mark.parametrize(
    ("source", "name", "key"),
    [
        ("client", "", b"192.0.2.1"),
        ("header", "x-account", b"7,8"),
        ("header", "absent", None),
        ("header", "empty", None),
        ("query", "a", b"1"),
        ("query", "b", b"x y"),
        ("query", "c", None),
        ("query", "d", None),
        ("cookie", "sid", b"abc"),
        ("cookie", "theme", b"dark"),
        ("cookie", "late", b"1"),
        ("cookie", "half", None),
        ("cookie", "SID", None),
        ("capture", "pod", b"a-b%2F"),
        ("capture", "none", None),
    ],
)
def test_the_key_of_a_request(source: str, name: str, key: bytes | None) -> None:
    captures = {"pod": "a%2db%2f", "none": ""}
    assert key_of(HashOn(source, name), HEAD, captures, "192.0.2.1") == key


def test_a_request_without_a_query_has_no_parameter() -> None:
    assert key_of(HashOn("query", "a"), RequestHead("GET", "/", "/", None, "h", "1.1", ()), {}, "") is None
