"""The Services that a configuration asks for: what the API server says of them is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from splicer.config.discovery import IN_CLUSTER
from splicer.config.schema import Config, KubernetesSettings
from splicer.discovery.api import Api
from splicer.discovery.changes import Changes
from splicer.discovery.failures import NotInCluster
from splicer.discovery.place import Place
from splicer.discovery.publisher import Publisher
from splicer.discovery.reflector import Reflector
from splicer.discovery.rows import told_by
from splicer.model import Service
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.observe.log import Logger
from splicer.policy.endpoint_flags import KnownEndpoint
from splicer.policy.slices import EndpointSlice, rows_of
from splicer.policy.tiers import Key
from splicer.upstream.snapshot import Found

Ports = Mapping[str, frozenset[int | str]]  # of each Service of a namespace

_ROLE = "a Role that may list and watch endpointslices (discovery.k8s.io) there, bound to the edge's service account"


@define(eq=False)
class _Watch:
    """One namespace that a reflector follows."""

    ports: Ports
    place: Place
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    slices: dict[str, tuple[EndpointSlice, ...]] = field(factory=dict)
    synced: bool = False


class Services:
    """Watches the Services that upstreams name, one reflector for each namespace, and publishes their endpoints.

    It is the reflectors' `Store`.

    Args:
        nursery: where reflectors run.
        publisher: publishes what is found.
        metrics: the counters.
        log: the logger.
        environ: the environment, which says where the API server of this cluster is.
        clock: returns seconds, on the monotonic clock.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        publisher: Publisher,
        metrics: DiscoveryMetrics,
        log: Logger,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nursery = nursery
        self._publisher = publisher
        self._metrics = metrics
        self._log = log
        self._environ = environ
        self._clock = clock
        self._changes = Changes(log)
        self._watches: dict[str, _Watch] = {}
        self._uids: dict[str, Mapping[Key, str | None]] = {}  # by Service and port
        self._skipped: dict[str, Mapping[str, int]] = {}
        self._errors: dict[str, str] = {}  # the last one of each namespace
        self._so: set[tuple[str, str]] = set()  # what is so, and was logged when it became so
        self._ipv6 = True
        nursery.start_soon(self._changes.run)

    def use(self, config: Config) -> None:
        """Follow a configuration from now on. What stays the same in it goes on."""
        services = [upstream.service for upstream in config.upstreams.values() if upstream.service is not None]
        keys = {service.key for service in services}
        for key in self._publisher.found.keys() - keys:
            self._publisher.find(key, None)
            self._uids.pop(key, None)
            self._skipped.pop(key, None)
        for key in keys - self._publisher.found.keys():
            self._publisher.find(key, Found(synced=False, since=self._clock(), rows=None))
        self._ipv6 = config.resolver.ipv6
        self._so = {(what, key) for what, key in self._so if key in keys}
        wanted, place = _by_namespace(services), self._place(config.kubernetes) if services else None
        for namespace in [name for name in self._watches if name not in wanted or place is None]:
            self._watches.pop(namespace).scope.cancel()
        if place is not None:
            for namespace, ports in wanted.items():
                self._watch(namespace, ports, place)

    def _place(self, settings: KubernetesSettings) -> Place | None:
        files = {"token_file": settings.token_file, "ca_file": settings.ca_file}
        if settings.api != IN_CLUSTER:
            return Place.at(settings.api, **files)
        try:
            return Place.in_cluster(self._environ, **files)
        except NotInCluster:
            remedy = "run in a pod, or write [kubernetes] api; until then name servers are asked"
            self._log.error("discovery_not_in_cluster", remedy=remedy)
            return None

    def _watch(self, namespace: str, ports: Ports, place: Place) -> None:
        before = self._watches.get(namespace)
        if before is not None and before.place == place and before.ports.keys() == ports.keys():
            before.ports = ports
            for service in before.slices:
                self._publish(namespace, service)
            return
        if before is not None:
            before.scope.cancel()
        watch = self._watches[namespace] = _Watch(ports, place)
        self._set_synced(namespace, synced=False)  # until the API server has said what there is
        self._nursery.start_soon(_follow, watch.scope, Reflector(namespace, ports.keys(), Api(place), self))

    # ---- what reflectors tell ----

    def replaced(self, namespace: str, services: Mapping[str, tuple[EndpointSlice, ...]]) -> None:
        """See `Store`."""
        for service, slices in services.items():
            self.changed(namespace, service, slices)

    def changed(self, namespace: str, service: str, slices: tuple[EndpointSlice, ...]) -> None:
        """See `Store`."""
        watch = self._watches.get(namespace)
        if watch is not None:  # else it has been cancelled, and not noticed it yet
            watch.slices[service] = slices
            self._publish(namespace, service)

    def synced(self, namespace: str) -> None:
        """See `Store`."""
        self._set_synced(namespace, synced=True)
        self._log.info("discovery_synced", namespace=namespace, services=sorted(self._keys(namespace)))

    def lost(self, namespace: str, reason: str) -> None:
        """See `Store`."""
        self._set_synced(namespace, synced=False)
        for key in self._keys(namespace):
            kept = len(self._publisher.found[key].rows or ())
            error = self._errors.get(namespace, "")
            self._log.warning("discovery_lost", service=key, reason=reason, error=error, kept=kept)

    def denied(self, namespace: str, status: int, message: str) -> None:
        """See `Store`."""
        remedy = "[kubernetes] token_file must have a token that the API server knows" if status == 401 else _ROLE
        self._log.error("discovery_denied", namespace=namespace, status=status, error=message, remedy=remedy)

    def failed(self, namespace: str, reason: str, message: str) -> None:
        """See `Store`."""
        self._errors[namespace] = message
        self._metrics.api_failed(reason)

    def listed(self, _namespace: str, reason: str) -> None:
        """See `Store`."""
        self._metrics.listed(reason)

    def heard(self, _namespace: str, event: str) -> None:
        """See `Store`."""
        self._metrics.heard(event)

    # ---- what is published ----

    def _keys(self, namespace: str) -> list[str]:
        watch = self._watches.get(namespace)
        wanted = {} if watch is None else watch.ports
        return [Service(namespace, name, port).key for name, ports in wanted.items() for port in ports]

    def _set_synced(self, namespace: str, *, synced: bool) -> None:
        watch = self._watches.get(namespace)
        if watch is not None:
            watch.synced = synced
            for key in self._keys(namespace):
                self._find(key, self._publisher.found[key].rows, synced=synced)

    def _find(self, key: str, rows: tuple[KnownEndpoint, ...] | None, *, synced: bool) -> None:
        before = self._publisher.found.get(key)
        since = before.since if before is not None and before.synced is synced else self._clock()
        self._publisher.find(key, Found(synced, since, rows))

    def _publish(self, namespace: str, name: str) -> None:
        watch = self._watches[namespace]
        for port in watch.ports.get(name, ()):
            key, slices = Service(namespace, name, port).key, watch.slices[name]
            rows = rows_of(slices, port, ipv6=self._ipv6)
            self._count_skipped(key, rows.skipped)
            if self._becomes("no service", key, is_so=not slices):
                self._log.warning("discovery_no_service", service=key)
            if self._becomes("no port", key, is_so=bool(slices) and not rows.port_listed):
                self._log.warning("discovery_port", service=key)
            found = self._publisher.found.get(key)
            before = None if found is None else found.rows
            endpoints = None
            if slices and rows.port_listed:
                told = told_by(rows.rows, before, self._uids.get(key, {}), self._clock())
                endpoints, self._uids[key] = told.endpoints, told.uids
            self._changes.note(key, before or (), endpoints or ())
            self._find(key, endpoints, synced=watch.synced)

    def _count_skipped(self, key: str, skipped: Mapping[str, int]) -> None:
        before, self._skipped[key] = self._skipped.get(key, {}), skipped
        for reason, count in skipped.items():
            self._metrics.skipped(reason, max(0, count - before.get(reason, 0)))

    def _becomes(self, what: str, key: str, *, is_so: bool) -> bool:
        was = (what, key) in self._so
        (self._so.add if is_so else self._so.discard)((what, key))
        return is_so and not was


async def _follow(scope: trio.CancelScope, reflector: Reflector) -> None:
    with scope:
        await reflector.run()


def _by_namespace(services: list[Service]) -> dict[str, Ports]:
    wanted: dict[str, dict[str, frozenset[int | str]]] = {}
    for service in services:
        ports = wanted.setdefault(service.namespace, {})
        ports[service.name] = ports.get(service.name, frozenset()) | {service.port}
    return dict(wanted)
