"""The parts of a worker that need a configuration: the session's context, and the parts that use it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from splicer.config.schema import LogSettings
from splicer.configfile.read import Prepared
from splicer.ipc.board import Column
from splicer.ipc.query import RowBatches
from splicer.net.dial import dial
from splicer.observe import endpoint_rows
from splicer.observe.access_log import AccessLog
from splicer.observe.combined_log import CombinedLog
from splicer.observe.hook_log import HookLog
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import Logger, make_logger
from splicer.observe.log_style import COMBINED, output_of_events
from splicer.observe.observers import Observers
from splicer.observer import Observer
from splicer.session.context import Drains, SessionContext
from splicer.session.watch import ClientWatch
from splicer.upstream.probes import Probes
from splicer.upstream.tls_pods import TlsPods
from splicer.worker.acceptor import Acceptor
from splicer.worker.adoption import Adoption
from splicer.worker.client_counts import ClientCounts
from splicer.worker.collector import collect_if_grown
from splicer.worker.draining import Draining
from splicer.worker.drains import DrainOrders
from splicer.worker.hook_calls import HookCalls
from splicer.worker.leaving import Leaving
from splicer.worker.parts import Parts
from splicer.worker.reloads import Reloads
from splicer.worker.vital import VitalTasks


class Configured:
    """The configuration in force, and the parts that depend on it.

    Args:
        prepared: the first configuration.
        parts: the parts that outlive a configuration.
        tasks: where tasks run.
        lines: the writer of log lines.
        path: the path of the configuration's file, for messages.
        read: reads the text behind a descriptor, which it closes.
        reloaded: called when the newest reload was tried.
        drains_set: called when the newest drains are followed.
    """

    def __init__(
        self,
        prepared: Prepared,
        parts: Parts,
        tasks: VitalTasks,
        lines: LineWriter,
        path: Path,
        read: Callable[[int], Awaitable[Prepared]],
        reloaded: Callable[[], None],
        drains_set: Callable[[], None],
    ) -> None:
        self.config = prepared.config
        self._parts = parts
        self._tasks = tasks
        self._path = path
        logger, self._access = _logs(self.config.log, lines)
        self._observer = Observers(parts.metrics.observer_failed, logger)
        self._hook_log = HookLog(logger)
        parts.log.begin(logger, self._observer)
        self.context = parts.publisher.context = parts.admission.context = self._make_context(prepared)
        self._tell_parts()
        self._put_together(read, reloaded, drains_set)

    def _make_context(self, prepared: Prepared) -> SessionContext:
        parts = self._parts
        return SessionContext(
            rules=parts.rules.make(prepared.config, prepared.table, self._tasks, prepared.hooks),
            dial=lambda endpoint, in_time: dial(endpoint, self.config.limits.socket_buffer, in_time),
            pool=parts.pool,
            closing=parts.closing,
            balancer=parts.balancer,
            splice=parts.hub.splice,
            observer=self._observer,
            counts=ClientCounts(parts.publisher.publish_soon),
            report=self._observer.guarded(parts.endpoints.learn),
            vault=parts.link,
            others=parts.publisher.others,
            places=parts.places,
            turns=parts.turns,
            timers=parts.timers,
            secure=TlsPods(parts.tls, self._observer).secure,
            may_use_pod=parts.admission.may_use_pod,
            outcomes=parts.outcomes,
            yield_to_relay=parts.hub.turn_if_due,
        )

    def _put_together(
        self,
        read: Callable[[int], Awaitable[Prepared]],
        reloaded: Callable[[], None],
        drains_set: Callable[[], None],
    ) -> None:
        parts, context, start = self._parts, self.context, self._tasks.start_soon
        link, log, publisher = parts.link, parts.log, parts.publisher
        orders = DrainOrders(self._go_by, lambda: self.config.upstreams, lambda: parts.rules.source, log.drains_failed)
        self.draining = Draining(context, orders, start, drains_set, log.drains_failed)
        self.acceptor = Acceptor(
            context,
            parts.admission,
            parts.clients,
            start,
            publisher.has_enough,
            publisher.publish_counts,
            log,
            parts.tls,
        )
        self.adoption = Adoption(context, link, start, self._count_adopted, log.adoption_failed, parts.tls.entry)
        self.leaving = Leaving(context, parts.hub, link, self._stop_accepting)
        self.reloads = Reloads(start, read, self._apply, self._reload_failed, reloaded)
        self._orders = orders

    def start(self) -> None:
        """Start what a spare does too."""
        self._tasks.start_soon(self._orders.run)

    def start_serving(self) -> None:
        """Start what is of use only to a worker with a slot: a spare costs next to nothing."""
        watch, start = ClientWatch(self.context.waiting), self._tasks.start_soon
        self._parts.publisher.serve(self._parts.admission.share_room, watch.look_soon)
        start(watch.run)
        start(Probes(self._parts.balancer.reachability, self.context.dial).run)
        start(collect_if_grown, lambda: self.context.counts.active, self._parts.log.garbage_found)

    def endpoint_rows(self) -> RowBatches:
        """Rows of the upstreams' endpoints."""
        parts = self._parts
        return endpoint_rows.endpoints(
            parts.endpoints, self.config, parts.rules.source, parts.balancer.loads, parts.hub
        )

    # Invariant: if a configuration can't be put into force, making the rules fails before anything has changed.
    def _apply(self, prepared: Prepared) -> None:
        old, make = self.context.rules, self._parts.rules.make
        self.context.rules = make(prepared.config, prepared.table, self._tasks, prepared.hooks)
        self.config = prepared.config
        self._tell_parts()
        old.hooks.retire(self._tasks.start_soon, self._parts.log.hook_not_closed)
        self.acceptor.limit_buffers(self.config.limits.socket_buffer)

    def _tell_parts(self) -> None:
        self._parts.route_counts.publish(self._parts.places.limited(self.config.routes))
        self._access.query = self._parts.spans.query = self.config.log.query
        self._observer.listen((self._parts.metrics, self._access, *self._spans(), *self._hooks()))
        self._parts.metrics.know(self.config.routes)
        self._parts.progress.every(self.config.log.progress, self._observer.guarded(self._access.tunnel_goes_on))

    def _spans(self) -> tuple[Observer, ...]:
        tracing = self.config.tracing
        if tracing is None or tracing.endpoint is None:
            return ()
        self._parts.spans.tunnel = tracing.tunnel
        return (self._parts.spans,)

    def _hooks(self) -> tuple[Observer, ...]:
        if not self.config.hooks:
            return ()
        calls = HookCalls(lambda: self.context.rules, self.config.routes, self._observer)
        return self._hook_log, calls

    def _reload_failed(self, error: str) -> None:
        self._parts.log.error("reload_failed", file=str(self._path), kept="the old routes", error=error)

    def _go_by(self, drains: Drains) -> None:
        self.context.drains = drains

    def _count_adopted(self) -> None:
        self._parts.row[Column.ADOPTED] += 1

    def _stop_accepting(self) -> None:
        self._parts.row[Column.LISTENING] = 0
        self.acceptor.stop()


def _logs(settings: LogSettings, lines: LineWriter) -> tuple[Logger, AccessLog]:
    output = output_of_events(settings.format)
    apart = settings.format == COMBINED
    logger = make_logger(lines.beside(output.fd) if apart else lines, output.style, colors=os.isatty(output.fd))
    return logger, CombinedLog(logger, settings.query, lines=lines) if apart else AccessLog(logger, settings.query)
