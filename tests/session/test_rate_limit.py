"""A route's `rate_limit`, in virtual time."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from splicer.model import Respond
from splicer.policy.rate_limiter import RateLimiter
from splicer.rates import Rate, RateLimit
from tests.session.edge import APP, Edge, answering, route
from tests.session.message import GET, OK, POST, read_answer

LIMIT = RateLimit(Rate(6, "m"), 2, "client")
RESPOND = Respond(200, b"fine\n")


def use(edge: Edge, limit: RateLimit = LIMIT, **more: Any) -> None:
    edge.use(route(rate_limit=limit, name="limited", **more))
    edge.context.rules = evolve(edge.context.rules, rate_limiters={"limited": RateLimiter(limit, lambda: 1)})


async def statuses(edge: Edge, count: int, raw: bytes = GET) -> list[int]:
    client = edge.connect()
    told = []
    for _ in range(count):
        await client.send(raw)
        told.append((await read_answer(client)).status)
    return told


@pytest.mark.parametrize("respond", [RESPOND, None])
async def test_what_is_over_the_rate_gets_429(edge: Edge, respond: Respond | None) -> None:
    edge.pods[APP] = answering(OK)
    edge.names.served["app.test"] = (APP,)
    use(edge, LIMIT, **({"respond": respond} if respond else {}))
    assert await statuses(edge, 4) == [200, 200, 429, 429]
    await trio.sleep(10)
    assert await statuses(edge, 2) == [200, 429]
    assert [record.close_reason for record in edge.told.ended].count("rate_limited") == 3


async def test_it_is_told_when_to_come_again(edge: Edge) -> None:
    use(edge, respond=RESPOND)
    await statuses(edge, 2)
    await trio.sleep(0.5)
    client = edge.connect()
    await client.send(GET)
    told = await read_answer(client)
    assert (told.status, told.get("Retry-After"), told.get("Connection")) == (429, "10", None)
    await trio.sleep(10)
    await client.send(GET)
    assert (await read_answer(client)).status == 200


async def test_a_body_that_was_not_read_ends_the_connection(edge: Edge) -> None:
    use(edge, respond=RESPOND)
    await statuses(edge, 2)
    client = await edge.ask(POST)
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (429, "close")


async def test_who_may_not_use_the_route_takes_nothing_of_its_rate(edge: Edge) -> None:
    use(edge, evolve(LIMIT, by="route"), respond=RESPOND, clients=(ip_network("10.0.0.0/8"),))
    assert await statuses(edge, 5) == [403] * 5
    client = edge.connect("10.0.0.7")
    await client.send(GET)
    assert (await read_answer(client)).status == 200


async def test_behind_a_trusted_proxy_the_client_it_names_counts(edge: Edge) -> None:
    use(edge, respond=RESPOND)
    edge.context.rules = evolve(edge.context.rules, trusted_proxies=(ip_network("192.0.2.7"),))
    for number in range(3):
        named = GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.%d\r\n\r\n" % number)
        assert await statuses(edge, 3, named) == [200, 200, 429]
    await wait_all_tasks_blocked()
