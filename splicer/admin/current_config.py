"""The configuration in force, and the addresses of names in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trio

from splicer.admin.dispatch import Refused
from splicer.config.schema import Config, ResolverSettings
from splicer.configfile.inherited import inherited
from splicer.configfile.read import prepare
from splicer.errors import ConfigError, SplicerError
from splicer.model import Upstream
from splicer.net.resolve import Resolver
from splicer.observe.log import Logger
from splicer.routing.template import render_host
from splicer.upstream.source import EndpointSource, NameSource

_FIRST_CONFIG_TIMEOUT = 5.0  # seconds until the first configuration must have been read
_LOOKUP_TIMEOUT = 2.0  # seconds for a name, whatever the routes' deadlines: an operator waits for the answer


class CurrentConfig:
    """The configuration that the supervisor has accepted last.

    Args:
        nursery: where texts are parsed and names looked up.
        path: the configuration's file, for messages only: the text comes from the supervisor.
        environ: the environment for its ``${NAME}``.
        log: the logger, for a text that can't be read.
    """

    def __init__(self, nursery: trio.Nursery, path: Path, environ: Mapping[str, str], log: Logger) -> None:
        self._nursery = nursery
        self._path = path
        self._environ = environ
        self._log = log
        self._config: Config | None = None
        self._there = trio.Event()
        self._wanted: str | None = None
        self._reading = False
        self._source: tuple[ResolverSettings, EndpointSource] | None = None

    # Invariant: texts are parsed one at a time, so an older one never replaces a newer one.
    def learn(self, text: str) -> None:
        """Use another configuration as soon as it is parsed."""
        self._wanted = text
        if not self._reading:
            self._reading = True
            self._nursery.start_soon(self._read)

    @property
    def now(self) -> Config | None:
        """The configuration; None: none has been read yet."""
        return self._config

    async def config(self) -> Config:
        """The configuration, once there is one.

        Raises:
            Refused: none has been read yet.
        """
        with trio.move_on_after(_FIRST_CONFIG_TIMEOUT):
            await self._there.wait()
        if self._config is None:
            raise Refused(503, "the configuration has not been read yet; the log may say why")
        return self._config

    async def addresses(self, pod: str) -> frozenset[str]:
        """The addresses of a pod, by all upstreams with one capture, taken as the pod's name; empty if unknown."""
        if self._config is None:
            return frozenset()
        source = self._source_for(self._config)
        found: set[str] = set()

        async def look_up(upstream: Upstream) -> None:
            [capture] = upstream.host.captures
            try:
                with trio.fail_after(_LOOKUP_TIMEOUT):
                    candidates = await source.find(upstream, render_host(upstream.host, {capture: pod}))
            except (SplicerError, trio.TooSlowError):
                return
            found.update(endpoint.address for endpoint in candidates.endpoints)

        async with trio.open_nursery() as nursery:
            for upstream in self._config.upstreams.values():
                if len(upstream.host.captures) == 1:
                    nursery.start_soon(look_up, upstream)
        return frozenset(found)

    async def _read(self) -> None:
        while self._wanted is not None:
            text, self._wanted = self._wanted, None
            try:
                self._config = await self._parse(text)
            except ConfigError as error:
                self._log.error("config_unread", process="admin", file=str(self._path), error=error.detail)
            else:
                self._there.set()
        self._reading = False

    # In a thread: parsing a large file must not delay other answers.
    async def _parse(self, text: str) -> Config:
        if (parsed := inherited(text, self._environ)) is not None:
            return parsed.config
        prepared = await trio.to_thread.run_sync(prepare, text, self._path, self._environ, abandon_on_cancel=True)
        return prepared.config

    def _source_for(self, config: Config) -> EndpointSource:
        if self._source is None or self._source[0] != config.resolver:
            resolver = Resolver(config.resolver, nursery=self._nursery, lifetime=_LOOKUP_TIMEOUT)
            self._source = config.resolver, NameSource(resolver)
        return self._source[1]
