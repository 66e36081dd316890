"""What a configuration becomes for the sessions."""

from __future__ import annotations

import trio

from splicer.config.load import load
from splicer.net.resolve import ResolverStats
from splicer.routing.table import RouteTable
from splicer.upstream.balance import Balancer
from splicer.worker.ruleset_factory import RulesetFactory

TEXT = """
[upstreams.app]
address = "app.test:80"
[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "healthy\\n" }
[[routes]]
name = "page"
path = "/page"
respond = "status"
[[routes]]
name = "exact"
path = "/app"
upstream = "app"
[[routes]]
name = "rest"
prefix = "/"
respond = { status = 404, body = "nothing\\n" }
"""


async def test_probes_are_the_paths_that_are_answered_here(nursery: trio.Nursery) -> None:
    config = load(TEXT, name="routing.toml", environ={})
    rules = RulesetFactory(Balancer(), ResolverStats()).make(config, RouteTable(config.routes), nursery)
    assert rules.probes == {b"/health", b"/page"}
