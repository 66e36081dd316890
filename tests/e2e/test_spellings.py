"""A rule that holds for some paths holds for each of their spellings, and pods get the one that the client chose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.http import Message
from tests.kit.pods import Pod, http_pod
from tests.kit.site import Place, Site
from tests.kit.wire import ask

STRANGER, FRIEND = "127.0.0.1", "127.0.0.7"
ROUTES = """
[upstreams.first]
address = "PLACE"
allow = ["127.0.0.0/8"]
[[routes]]
name = "internal"
prefix = "/internal/"
clients = ["127.0.0.7/32"]
upstream = "first"
[[routes]]
name = "own"
path = "/@me"
clients = ["127.0.0.7/32"]
encoded_slash = "forward"
upstream = "first"
[[routes]]
name = "cut"
prefix = "/cut/"
strip_prefix = true
upstream = "first"
[[routes]]
name = "strict"
prefix = "/strict/"
encoded_slash = "refuse"
upstream = "first"
[[routes]]
name = "halves"
regex = '^/halves/(?<head>.{2})(?<tail>.*)$'
rewrite = "/{tail}"
upstream = "first"
"""
REST = '[[routes]]\nname = "rest"\nprefix = "/"\nupstream = "first"\n'


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.fixture(scope="module")
def place(site: Site) -> Place:
    return site.take()


@pytest.fixture(scope="module")
def edge(site: Site, place: Place) -> Iterator[Edge]:
    routes = ROUTES.replace("PLACE", f"{place.name}.pods.test:{place.port}")
    with running(site.toml(routes) + REST, site) as edge:
        yield edge


@pytest.fixture
async def pod(place: Place, nursery: trio.Nursery) -> Pod:
    return await http_pod(nursery, place.address, place.port)


async def get(edge: Edge, target: str, source: str = STRANGER) -> Message:
    return await ask(edge.address, "GET", target, source=source)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/internal/x", 403),
        ("/%69nternal/x", 403),
        ("/%69%6E%74%65%72%6e%61%6C/x", 403),
        ("//internal/x", 403),
        ("///internal///x", 403),
        ("/internal//", 403),
        ("http://127.0.0.1//%69nternal/x", 403),
        ("/internal%2fx", 400),
        ("/internal%2Fx", 400),
        ("%2finternal/x", 400),
        ("/%2finternal/x", 400),
        ("/%2Finternal%2fx", 400),
        ("/internal/a%2Fx", 400),
        ("/internal%5cx", 400),
        ("/%40me", 400),
        ("/@me", 403),
        ("/%2569nternal/x", 200),
        ("/internal%252fx", 200),
        ("/internals/x", 200),
        ("/internal", 200),
        ("/internal;v=1/x", 200),
        ("/a%2Fb", 200),
        ("/a%40b", 200),
        ("/strict/a%2fb", 400),
        ("/strict%2fa", 400),
        ("/strict/a%2ab", 200),
    ],
)
async def test_who_may_come_does_not_hang_on_the_spelling(edge: Edge, pod: Pod, path: str, status: int) -> None:
    assert (await get(edge, path)).status == status
    assert [seen.target for seen in pod.seen] == ([path.encode()] if status == 200 else [])


@pytest.mark.parametrize("path", ["/%69nternal/%78", "//internal//x", "/internal/%c3%a4", "/internal/a%40b"])
async def test_what_is_forwarded_is_as_it_came(edge: Edge, pod: Pod, path: str) -> None:
    assert (await get(edge, path, FRIEND)).status == 200
    assert pod.seen[0].target == path.encode()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/cut/%61//b", "/%61//b"),
        ("/c%75t/x%2fy", "/x%2fy"),
        ("//cut///%2e%2ex", "/%2e%2ex"),
        ("/cut/", "/"),
        ("/%68ttp/agent-1/%78//%2F?a=%61", "/%78//%2F?a=%61"),
        ("//http//agent-1//x", "//x"),
        ("/halves/ab%63", "/%63"),
        ("/halves/%61%62%63", "/%63"),
    ],
)
async def test_what_is_cut_off_is_cut_off_the_path_as_it_came(edge: Edge, pod: Pod, path: str, target: str) -> None:
    assert (await get(edge, path)).status == 200
    assert pod.seen[0].target == target.encode()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/halves/%C3%A4", 400), ("/halves/a%2fb", 400), ("/http/agent%2D1/x", 404), ("/cut/..%2fx", 400)],
)
async def test_what_cannot_be_cut_out(edge: Edge, pod: Pod, path: str, status: int) -> None:
    assert (await get(edge, path)).status == status
    assert not pod.connections
