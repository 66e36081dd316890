from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from splicer.errors import Side
from splicer.relay.api import TunnelLimits
from splicer.relay.news import News
from splicer.relay.tunnel import Leg, Tunnel
from tests.relay.harness import unix_pair


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    one, other = unix_pair()
    with one, other:
        yield Tunnel(Leg(one, Side.CLIENT), Leg(other, Side.POD), TunnelLimits(60.0, 5.0, math.inf), 100.0)


def test_there_is_none_at_first() -> None:
    news = News()
    assert (news.pending, news.take_ended(), news.take_flushing(), news.take_due()) == (False, [], [], math.inf)


def test_each_is_told_once(tunnel: Tunnel) -> None:
    news = News()
    news.ended(tunnel)
    news.flush(tunnel.client)
    assert news.pending
    assert (news.take_ended(), news.take_flushing()) == ([tunnel], [tunnel.client])
    assert (news.take_ended(), news.take_flushing()) == ([], [])


def test_of_deadlines_the_nearest_counts(tunnel: Tunnel) -> None:
    news = News()
    news.expect(tunnel)
    tunnel.closer = Side.CLIENT
    news.expect(tunnel)
    tunnel.closer = None
    news.expect(tunnel)
    assert news.pending
    assert (news.take_due(), news.take_due()) == (105.0, math.inf)
