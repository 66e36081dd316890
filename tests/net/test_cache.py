from __future__ import annotations

import pytest

from splicer.errors import NameNotFound, ResolveFailed
from splicer.net import cache as module
from splicer.net.cache import FAILURE_TTL, NEGATIVE_TTL, RETRY_INTERVAL, Cache, LeastRecentlyUsed
from splicer.net.dns_query import Records

POD = "pod-0.example"
GONE = NameNotFound("gone")
DOWN = ResolveFailed("down")


def test_the_least_recently_used_is_forgotten() -> None:
    items: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(2)
    items.put("a", 1)
    items.put("b", 2)
    assert items.get("a") == 1
    items.put("c", 3)
    assert (items.get("a"), items.get("b"), items.get("c")) == (1, None, 3)
    items.put("a", 4)
    items.put("d", 5)
    assert (items.get("a"), items.get("c"), len(items)) == (4, None, 2)


@pytest.mark.parametrize(("ttl", "expires"), [(3.0, 103.0), (30.0, 110.0), (0.0, 100.0)])
def test_a_record_is_trusted_for_its_ttl_and_no_longer_than_max_ttl(ttl: float, expires: float) -> None:
    cache = Cache(max_ttl=10.0)
    cache.found(POD, Records(("10.0.0.1",), ttl), now=100.0)
    known = cache.good(POD)
    assert known is not None
    assert (known.addresses, known.expires, known.stale) == (("10.0.0.1",), expires, False)


@pytest.mark.parametrize(("soa", "lasts"), [(30.0, NEGATIVE_TTL), (0.25, 0.25), (0.0, 0.0)])
def test_no_such_name_is_believed_briefly(soa: float, lasts: float) -> None:
    cache = Cache(max_ttl=10.0)
    cache.gone(POD, Records((), soa, exists=False), GONE, now=100.0)
    assert cache.refusal(POD, 100.0 + lasts) is None
    if lasts:
        assert cache.refusal(POD, 100.0 + lasts / 2) is GONE


def test_a_name_that_is_gone_has_no_last_good_answer() -> None:
    cache = Cache(max_ttl=10.0)
    cache.found(POD, Records(("10.0.0.1",), 5.0), now=100.0)
    cache.gone(POD, Records((), 5.0), GONE, now=101.0)
    assert cache.good(POD) is None
    assert len(cache) == 1


def test_a_failure_without_an_earlier_answer_is_remembered_briefly() -> None:
    cache = Cache(max_ttl=10.0)
    cache.failed(POD, DOWN, now=100.0)
    assert cache.refusal(POD, 100.0 + FAILURE_TTL / 2) is DOWN
    assert cache.refusal(POD, 100.0 + FAILURE_TTL) is None


def test_the_last_good_answer_serves_on_when_the_servers_fail() -> None:
    cache = Cache(max_ttl=10.0)
    cache.found(POD, Records(("10.0.0.1",), 5.0), now=100.0)
    cache.failed(POD, DOWN, now=200.0)
    known = cache.good(POD)
    assert known is not None
    assert (known.stale, known.expires, known.refresh_after) == (True, 200.0 + RETRY_INTERVAL, 200.0 + RETRY_INTERVAL)
    assert cache.refusal(POD, 200.0) is None


def test_a_failed_refresh_leaves_a_valid_answer_its_time() -> None:
    cache = Cache(max_ttl=10.0)
    cache.found(POD, Records(("10.0.0.1",), 9.0), now=100.0)
    cache.failed(POD, DOWN, now=101.0)
    known = cache.good(POD)
    assert known is not None
    assert known.expires == 109.0


def test_a_name_that_comes_back_is_no_longer_refused() -> None:
    cache = Cache(max_ttl=10.0)
    cache.gone(POD, Records((), 5.0), GONE, now=100.0)
    cache.found(POD, Records(("10.0.0.1",), 5.0), now=100.1)
    assert cache.refusal(POD, 100.2) is None
    assert len(cache) == 1


def test_invented_names_cannot_push_out_good_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY", 10)
    cache = Cache(max_ttl=10.0)
    cache.found(POD, Records(("10.0.0.1",), 5.0), now=100.0)
    for number in range(1000):
        cache.gone(f"no-{number}.example", Records((), 5.0), GONE, now=100.0)
    assert cache.good(POD) is not None
    assert len(cache) == 11
