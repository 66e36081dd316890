"""Routes that look at more of a request than its path: by header, by query, by scheme; and who may not use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import ask, dial

SAYS = 'respond = {{ status = 200, body = "{}" }}\n'
PROXY = "127.0.0.9"  # the site trusts it


def says(name: str, keys: str) -> str:
    return f'[[routes]]\nname = "{name}"\nprefix = "/which"\n{keys}\n{SAYS.format(name)}'


ROUTES = (
    says("canary", 'headers = { X-Canary = "1", X-Debug = false }')
    + says("version", "query = { version = { regex = '^v[23]$' } }")
    + says("secure", 'scheme = "https"')
    + says("denied", 'headers = { X-Denied = true }\nclients_deny = ["127.0.0.8", "9.9.9.9"]')
    + says("rest", "")
    + """
[[routes]]
name = "browser"
regex = '^/browser/(?<pod>[^/]+)$'
upstream = "pod"
upgrade = ["websocket"]
origins = ["https://app.example"]
"""
)


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site(pods=9)
    with running(site.toml(ROUTES), site) as edge:
        yield edge


@pytest.mark.parametrize(
    ("target", "fields", "route"),
    [
        ("/which", [], "rest"),
        ("/which", ["x-canary: 1"], "canary"),
        ("/which", ["X-Canary: 2", "X-Canary: 1"], "canary"),
        ("/which", ["X-Canary: 1", "X-Debug:"], "rest"),
        ("/which?a=b&%76ersion=v2", [], "version"),
        ("/which?version=v4&version=v2", [], "rest"),
        ("/which", ["X-Forwarded-Proto: https"], "rest"),
    ],
)
async def test_the_first_route_whose_conditions_hold(edge: Edge, target: str, fields: list[str], route: str) -> None:
    assert (await ask(edge.address, "GET", target, *fields)).body == route.encode()
    await edge.line("exchange", route=route)


async def test_only_a_trusted_proxy_says_that_a_client_came_by_https(edge: Edge) -> None:
    reply = await ask(edge.address, "GET", "/which", "X-Forwarded-Proto: https", source=PROXY)
    assert reply.body == b"secure"


async def test_a_denied_client(edge: Edge) -> None:
    assert (await ask(edge.address, "GET", "/which", "X-Denied: 1")).status == 200
    assert (await ask(edge.address, "GET", "/which", "X-Denied: 1", source="127.0.0.8")).status == 403
    assert (await ask(edge.address, "GET", "/which", "X-Denied: 1", "X-Forwarded-For: 9.9.9.9")).status == 200
    forwarded = ("X-Denied: 1", "X-Forwarded-For: 9.9.9.9")
    assert (await ask(edge.address, "GET", "/which", *forwarded, source=PROXY)).status == 403
    await edge.wait_lines(2, "exchange", reason="client_not_allowed")


async def test_a_page_of_another_origin_opens_no_tunnel(edge: Edge, place: Place) -> None:
    target = f"/browser/{place.name}"
    for fields in ([], ["Origin: https://App.example"]):
        async with tunnel(edge, target, *fields) as wire:
            await wire.send(b"hello")
            assert await wire.exactly(5) == b"hello"
    for fields in (["Origin: https://evil.example"], ["Origin: null"], ["Origin: https://app.example.evil"]):
        async with dial(edge.address) as wire:
            await wire.send(handshake(target, *fields))
            assert (await wire.reply()).status == 403
    refused = await edge.wait_lines(3, "exchange", reason="origin_not_allowed")
    assert refused[0]["detail"] == "https://evil.example is not among the origins of this route"


async def test_a_reload_changes_conditions_and_no_call(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(edge, f"/browser/{place.name}") as wire:
        line = await edge.reload(edge.site.toml(ROUTES.replace('X-Canary = "1"', 'X-Canary = "2"')))
        assert (
            'routes "canary": headers x-canary is 1, x-debug absent → x-canary is 2, x-debug absent' in line["changes"]
        )
        assert (await ask(edge.address, "GET", "/which", "X-Canary: 2")).body == b"canary"
        assert (await ask(edge.address, "GET", "/which", "X-Canary: 1")).body == b"rest"
        await edge.reload(edge.site.toml(ROUTES))
        await wire.send(b"alive")
        assert await wire.exactly(5) == b"alive"
