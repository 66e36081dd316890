"""The Services that a configuration asks for."""

from __future__ import annotations

import trio

from splicer.config.schema import Config
from splicer.discovery.publisher import Publisher
from splicer.observe.log import Logger


class Services:
    """Keeps what is published to the Services that the configuration names.

    Args:
        nursery: where they are watched.
        publisher: publishes what is found.
        log: the logger.
    """

    def __init__(self, nursery: trio.Nursery, publisher: Publisher, log: Logger) -> None:
        self._nursery = nursery
        self._publisher = publisher
        self._log = log

    def use(self, config: Config) -> None:
        """Follow a configuration from now on. What stays the same in it goes on."""
        wanted = {upstream.service.key for upstream in config.upstreams.values() if upstream.service is not None}
        for service in self._publisher.found.keys() - wanted:
            self._publisher.find(service, None)
