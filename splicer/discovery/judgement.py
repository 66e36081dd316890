"""What the discovery process thinks of endpoints: by the errors of requests, and by health checks."""

from __future__ import annotations

import random
import socket

import trio

from splicer.config.schema import Config
from splicer.discovery.health_checks import HealthChecks
from splicer.discovery.judging import Judging
from splicer.discovery.members import Members
from splicer.discovery.publisher import Publisher
from splicer.discovery.reports import ReportChannels
from splicer.ipc.endpoint_reports import NamesUsed, OutcomesSeen
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.observe.log import Logger
from splicer.upstream.tls_links import TlsLinks


class Judgement:
    """The parts that judge and check endpoints, put together.

    Args:
        nursery: where they run.
        publisher: publishes their verdicts.
        channels: have the workers' reports.
        tls: the tls processes.
        log: the logger.
        metrics: counts what they do.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        publisher: Publisher,
        channels: ReportChannels,
        tls: TlsLinks,
        log: Logger,
        metrics: DiscoveryMetrics,
    ) -> None:
        chance = random.random
        self._members = Members(nursery, lambda: publisher.found)
        self._judging = Judging(publisher, self._members.known, log, metrics, chance)
        self._health = HealthChecks(publisher, self._members, tls, log, metrics, socket.gethostname(), chance)
        publisher.on_find(self._judging.renewed)
        publisher.on_find(lambda _: self._members.look_again())
        channels.on(OutcomesSeen, lambda _, rows: self._judging.hear(rows))
        channels.on(NamesUsed, lambda _, rows: self._members.used(rows))
        nursery.start_soon(self._judging.run)
        nursery.start_soon(self._health.run)
        nursery.start_soon(self._members.run, self._health.look)

    def use(self, config: Config) -> None:
        """Judge and check by another configuration."""
        self._judging.use(config.upstreams)
        self._members.use(config)
