"""Requests to a route that has several upstreams."""

from __future__ import annotations

import pytest

from splicer.errors import ConnectRefused
from splicer.model import Split
from splicer.patterns import HashOn
from tests.session.authorizers import call, rule, site
from tests.session.edge import APP, APP_UPSTREAM, SPARE, SPARE_UPSTREAM, Edge, answering, route, upstream
from tests.session.message import OK, answer, get, read_answer


def split(app: int, spare: int, hash_on: HashOn | None = None) -> Split:
    return Split(((APP_UPSTREAM, app), (SPARE_UPSTREAM, spare)), hash_on)


async def chosen(edge: Edge, *fields: str) -> str | None:
    assert (await read_answer(await edge.ask(get("/x", *fields)))).status == 200
    return edge.told.ended[-1].upstream


async def test_an_upstream_of_weight_0_gets_nothing(edge: Edge) -> None:
    edge.pods[APP] = edge.pods[SPARE] = answering(OK)
    edge.use(route(split=split(0, 1)))
    assert {await chosen(edge) for _ in range(20)} == {"spare"}
    edge.use(route(split=split(1, 0)))
    assert {await chosen(edge) for _ in range(20)} == {"app"}


async def test_chance_chooses_where_the_value_is_absent(edge: Edge) -> None:
    edge.pods[APP] = edge.pods[SPARE] = answering(OK)
    edge.use(route(split=split(1, 1, HashOn("header", "x-account"))))
    assert {await chosen(edge) for _ in range(60)} == {"app", "spare"}


async def test_the_same_value_leads_to_the_same_upstream(edge: Edge) -> None:
    edge.pods[APP] = edge.pods[SPARE] = answering(OK)
    edge.use(route(split=split(1, 1, HashOn("header", "x-account"))))
    seen = {account: {await chosen(edge, f"X-Account: {account}") for _ in range(5)} for account in range(20)}
    assert all(len(upstreams) == 1 for upstreams in seen.values())
    assert set.union(*seen.values()) == {"app", "spare"}


@pytest.mark.parametrize("weights", [(1, 0), (0, 1)])
async def test_the_fallback_is_that_of_all(edge: Edge, weights: tuple[int, int]) -> None:
    edge.pods |= {APP: ConnectRefused("app"), SPARE: answering(OK)}
    edge.use(route(split=split(*weights), fallback=SPARE_UPSTREAM))
    assert await chosen(edge) == "spare"
    assert [attempt.upstream for attempt in edge.record.attempts] == (["app", "spare"] if weights[0] else ["spare"])


# An account that only the authorizer knows must have one version too, whatever the client says about it.
async def test_what_the_authorizer_gives_decides_too(edge: Edge) -> None:
    site(edge, answering(answer(b"", "200 OK", "X-User: alice")))
    edge.pods[APP] = edge.pods[SPARE] = answering(OK)
    by_user = split(1, 1, HashOn("header", "x-user"))
    edge.use(call(rule(captures=()), upgrade=(), fallback=None, upstream=APP_UPSTREAM, split=by_user))
    assert len({await chosen(edge, f"X-User: {name}") for name in range(20)}) == 1


# The documents have such a route: what canary can't serve, stable does. There is no second stable behind the first.
@pytest.mark.parametrize("retries", [0, 2])
async def test_an_upstream_is_no_fallback_for_itself(edge: Edge, retries: int) -> None:
    edge.pods[APP] = ConnectRefused("app")
    edge.use(route(split=split(1, 0), fallback=APP_UPSTREAM, retries=retries))
    assert (await read_answer(await edge.ask(get("/x")))).status == 502
    assert edge.record.close_reason == "connect_refused"
    assert not any(attempt.fallback for attempt in edge.record.attempts)
    edge.use(route(split=split(0, 1), fallback=APP_UPSTREAM, retries=retries))
    edge.pods |= {APP: answering(OK), SPARE: ConnectRefused("spare")}
    assert await chosen(edge) == "app"


async def test_another_endpoint_of_it_is_one(edge: Edge) -> None:
    edge.names.served["two.test"] = (APP, SPARE)
    edge.pods |= {APP: answering(answer(b"", "503 Busy")), SPARE: answering(OK)}
    two = upstream("two")
    edge.use(route(split=Split(((two, 1),)), fallback=two))
    for _ in range(4):
        assert await chosen(edge) == "two"
