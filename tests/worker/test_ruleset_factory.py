"""What a configuration becomes for the sessions."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from splicer.config.load import load
from splicer.ipc.endpoint_memory import EndpointMemory, make_endpoint_memory
from splicer.net.resolve import ResolverStats
from splicer.policy.rate_limiter import RateLimiter
from splicer.routing.table import RouteTable
from splicer.upstream.balance import Balancer
from splicer.upstream.snapshot import EndpointSnapshot
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


def factory() -> RulesetFactory:
    snapshot = EndpointSnapshot(EndpointMemory(make_endpoint_memory()))
    return RulesetFactory(Balancer(), snapshot, ResolverStats(), lambda: 1)


async def test_probes_are_the_paths_that_are_answered_here(nursery: trio.Nursery) -> None:
    config = load(TEXT, name="routing.toml", environ={})
    rules = factory().make(config, RouteTable(config.routes), nursery)
    assert rules.probes == {b"/health", b"/page"}


async def test_a_reload_keeps_the_counts_of_limits_that_it_leaves_alone(nursery: trio.Nursery) -> None:
    made = factory()

    def limiters(page: str, rest: int = 404) -> Mapping[str, RateLimiter]:
        text = TEXT.replace('respond = "status"', f'respond = "status"\n{page}').replace("404", str(rest))
        config = load(text, name="routing.toml", environ={})
        return made.make(config, RouteTable(config.routes), nursery).rate_limiters

    one, two = 'rate_limit = { rate = "1/s" }', 'rate_limit = { rate = "2/s" }'
    first = limiters(one)
    assert first.keys() == {"page"}
    assert limiters(one, 403)["page"] is first["page"]
    changed = limiters(two)
    assert changed["page"].limit.rate.count == 2
    assert limiters("") == {}
    assert limiters(two)["page"] is not changed["page"]
