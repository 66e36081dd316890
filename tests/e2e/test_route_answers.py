"""What a route changes in requests and answers, by real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.pods import http_pod
from tests.kit.site import Site
from tests.kit.wire import ask, dial, request

ROUTES = """
[[routes]]
name = "upload"
regex = '^/upload/(?<pod>[^/]+)/'
upstream = "pod"
body_bytes = "20KiB"
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    site = Site()
    with running(site.toml(ROUTES, extra="[limits]\nbody_bytes = 10\n"), site) as edge:
        yield edge


async def test_the_body_of_a_request_may_be_larger_on_one_route(edge: Edge, nursery: trio.Nursery) -> None:
    place = edge.site.take()
    pod = await http_pod(nursery, place.address, place.port)
    upload, other = f"/upload/{place.name}/", f"/http/{place.name}/"
    assert (await ask(edge.address, "POST", upload, body=b"x" * 20480)).status == 200
    assert (await ask(edge.address, "POST", upload, body=b"x" * 20481)).status == 413
    assert (await ask(edge.address, "POST", other, body=b"x" * 11)).status == 413
    assert [len(seen.body) for seen in pod.seen] == [20480]
    async with dial(edge.address) as wire:
        await wire.send(request("POST", upload, "Transfer-Encoding: chunked") + b"5001\r\n" + b"x" * 0x5001)
        assert (await wire.reply()).status == 413
