"""What a new user tries first: a pod on this machine, by its address or as localhost, and a file from any editor."""

from __future__ import annotations

import pytest
import trio

from tests.kit.edge import running
from tests.kit.pods import http_pod
from tests.kit.site import Site, free_port
from tests.kit.wire import ask

FILE = """[server]
listen = "127.0.0.1:0"
admin = "off"
[upstreams.app]
address = "PLACE"
[[routes]]
name = "all"
prefix = "/"
upstream = "app"
"""


@pytest.mark.parametrize("mark", ["", pytest.param("\ufeff", marks=pytest.mark.slow)])
async def test_a_pod_on_this_machine_is_reached_without_more_words(nursery: trio.Nursery, mark: str) -> None:
    port = free_port()
    await http_pod(nursery, "127.0.0.1", port)
    text = mark + FILE
    with running(text.replace("PLACE", f"127.0.0.1:{port}"), Site()) as edge:
        assert (await ask(edge.address, "GET", "/")).status == 200
        assert (await edge.reload(text.replace("PLACE", f"localhost:{port}")))["event"] == "reload"
        assert (await ask(edge.address, "GET", "/")).status == 200
        refused = await edge.reload(text.replace("PLACE", f"169.254.169.254:{port}"))
        assert refused["event"] == "reload_failed"
        assert (await ask(edge.address, "GET", "/")).status == 200
