"""Making a session's ruleset from a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from splicer.config.error_pages import by_status
from splicer.config.log_headers import field_of
from splicer.config.schema import Config, LogSettings, ResolverSettings
from splicer.configfile.hooks import NO_HOOKS, HookGeneration
from splicer.model import Deadlines, Route
from splicer.net.resolve import Resolver, ResolverStats, Starter
from splicer.policy.rate_limiter import RateLimiter
from splicer.routing.passthrough import PassthroughTable
from splicer.routing.pattern import ExactPath
from splicer.routing.route_pattern import route_pattern
from splicer.routing.table import RouteTable
from splicer.session.context import Ruleset
from splicer.session.hook_set import HookSet
from splicer.session.logged_headers import LoggedHeader
from splicer.session.tracing import Tracing
from splicer.upstream.balance import Balancer
from splicer.upstream.endpoints import Endpoints
from splicer.upstream.judged_names import JudgedNames
from splicer.upstream.snapshot import EndpointSnapshot
from splicer.upstream.snapshot_source import SnapshotSource
from splicer.upstream.source import EndpointSource, NameSource


class RulesetFactory:
    """Makes rulesets, and keeps the parts that outlive them.

    Args:
        balancer: the worker's balancer.
        snapshot: the endpoint snapshot.
        counters: the resolver's counters.
        workers: returns the number of workers that serve, who share the rate limits.
    """

    def __init__(
        self, balancer: Balancer, snapshot: EndpointSnapshot, counters: ResolverStats, workers: Callable[[], int]
    ) -> None:
        self._balancer = balancer
        self._snapshot = snapshot
        self._counters = counters
        self._workers = workers
        self._log_format = ""
        self._rate_limiters: dict[str, RateLimiter] = {}
        self._resolver: tuple[tuple[ResolverSettings, float], Resolver] | None = None
        self._source: EndpointSource | None = None

    @property
    def source(self) -> EndpointSource:
        """The endpoint source of the newest ruleset."""
        assert self._source is not None  # noqa: S101 - used only after the first ruleset was made
        return self._source

    def make(self, config: Config, table: RouteTable, tasks: Starter, hooks: HookGeneration = NO_HOOKS) -> Ruleset:
        """The ruleset of a configuration; name lookups run in `tasks`."""
        self._source = self._source_for(config, NameSource(self._resolver_for(config, tasks)))
        return Ruleset(
            table=table,
            endpoints=Endpoints(self._source, self._balancer),
            deadlines=config.deadlines,
            limits=config.limits,
            trusted_proxies=config.server.trusted_proxies,
            probes=_probes(config),
            logged_headers=self._logged_headers(config.log),
            errors=by_status(config.errors),
            rate_limiters=self._limiters_for(config.routes),
            passthrough=PassthroughTable(config.passthrough),
            hooks=HookSet(hooks, config.upstreams),
            tracing=_tracing(config),
        )

    # The format of the log is that of the process's first configuration: a reload doesn't change it.
    def _logged_headers(self, log: LogSettings) -> tuple[LoggedHeader, ...]:
        self._log_format = self._log_format or log.format
        names = ("referer", "user-agent") if self._log_format == "combined" else log.headers
        return tuple(LoggedHeader(name.encode(), field_of(name)) for name in names)

    # A limiter survives a reload that doesn't change its limit: a reload must not fill every client's bucket.
    def _limiters_for(self, routes: Iterable[Route]) -> dict[str, RateLimiter]:
        known, wanted = self._rate_limiters, {route.name: route.rate_limit for route in routes if route.rate_limit}
        self._rate_limiters = {
            name: known[name] if name in known and known[name].limit == limit else RateLimiter(limit, self._workers)
            for name, limit in wanted.items()
        }
        return self._rate_limiters

    # What no upstream needs costs no request anything.
    def _source_for(self, config: Config, names: EndpointSource) -> EndpointSource:
        upstreams = config.upstreams.values()
        if any(upstream.is_judged for upstream in upstreams):
            names = JudgedNames(names, lambda: self._snapshot.verdicts)
        if not any(upstream.service for upstream in upstreams):
            return names
        return SnapshotSource(names, self._snapshot, config.resolver.hosts)

    # A resolver survives a reload that doesn't change its settings: its last good answers may be needed.
    def _resolver_for(self, config: Config, tasks: Starter) -> Resolver:
        lifetime = max(deadlines.resolve for deadlines in _deadlines(config))
        wanted = (config.resolver, lifetime)
        if self._resolver is None or self._resolver[0] != wanted:
            resolver = Resolver(config.resolver, nursery=tasks, lifetime=lifetime, counters=self._counters)
            self._resolver = wanted, resolver
        return self._resolver[1]


def _tracing(config: Config) -> Tracing | None:
    if config.tracing is None:
        return None
    patterns = {route.name: pattern for route in config.routes if (pattern := route_pattern(route.pattern))}
    return Tracing(config.tracing, patterns)


def _deadlines(config: Config) -> Iterator[Deadlines]:
    yield from (route.deadlines for route in config.routes)
    yield from (passthrough.deadlines for passthrough in config.passthrough)


# Only exact paths: the prefix "/" would make every request a probe.
def _probes(config: Config) -> frozenset[bytes]:
    patterns = (route.pattern for route in config.routes if route.respond is not None)
    return frozenset(pattern.path.encode() for pattern in patterns if isinstance(pattern, ExactPath))
