"""One worker process: builds the rooms from a Config, and runs the nursery in which every call lives."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import trio
from setproctitle import getproctitle, setproctitle

from splicer.configfile.read import Prepared, prepare
from splicer.errors import ConfigError, Side, TooManyConnections
from splicer.ipc import wire
from splicer.ipc.board import Board, Column
from splicer.ipc.query import Answer, RowBatches, answer_queries
from splicer.ipc.supervisor_channel import SupervisorChannel, received
from splicer.net.dial import dial
from splicer.net.listen import accept_forever
from splicer.net.options import granted_buffer, limit_buffers
from splicer.net.stream import TcpStream
from splicer.observe import tunnel_rows
from splicer.observe.access_log import AccessLog
from splicer.observe.line_writer import LineWriter
from splicer.observe.log import Logger, make_logger
from splicer.observe.metrics import Metrics
from splicer.observe.observers import Observers
from splicer.observe.progress import Progress
from splicer.relay.hub import Hub
from splicer.relay.instrument import RelayInstrument
from splicer.session import passport
from splicer.session.client import ClientLeg
from splicer.session.connection import Connection
from splicer.session.context import ConnectionState, Drains, SessionContext
from splicer.session.respond import send_refusal
from splicer.session.tunnel import run_adopted
from splicer.session.turns import Turns
from splicer.session.watch import watch_clients
from splicer.upstream.balance import Balancer
from splicer.upstream.closing import ClosingConnections
from splicer.upstream.pool import IdlePool
from splicer.upstream.status import EndpointStates
from splicer.worker.admission import Admission
from splicer.worker.adopted import Adopted
from splicer.worker.board_publisher import BoardPublisher
from splicer.worker.collector import collect_if_grown, collect_young_only
from splicer.worker.drains import DrainOrders
from splicer.worker.inheritance import Heir, inherit
from splicer.worker.ruleset_factory import RulesetFactory
from splicer.worker.vault_link import VaultLink
from splicer.worker.vital import VitalTasks, run_vital

_MAX_REFUSALS = 256  # connections over the limit that still get an answer; the rest is closed
_LOG_INTERVAL = 10.0  # seconds between two lines about the same exhaustion
_POLL_INTERVAL = 0.025  # seconds between two looks at what has to end
_RETIRE_TIMEOUT = 15.0  # seconds for handshakes under way before the tunnels are handed over
_LAST_REQUEST = 5.0  # seconds for one more request on a connection that idles: one that is on its way is not lost
_LAST_WORDS = 0.1  # seconds that a dying worker waits for the log: its calls are silent meanwhile


class Worker:
    """Serves a slot when it is told to.

    Args:
        supervisor: gives orders.
        board: where the processes show their numbers.
        row: this one's on it.
        vault: a connection to the vault, or None.
        vault_version: that it speaks.
        vault_path: of its socket, if it is a process of its own.
        path: the configuration's file, for messages: its text comes from the supervisor.
        environ: for its ``${NAME}``.
        lines: where log lines go.
        metrics: what is counted.
    """

    def __init__(
        self,
        supervisor: SupervisorChannel,
        board: Board,
        row: int,
        vault: socket.socket | None,
        vault_version: int,
        vault_path: Path | None,
        path: Path,
        environ: Mapping[str, str],
        lines: LineWriter,
        metrics: Metrics,
    ) -> None:
        self._supervisor = supervisor
        self._path = path
        self._environ = environ
        self._lines = lines
        self._metrics = metrics
        self._endpoints = EndpointStates()
        self._link = VaultLink(vault, vault_path, self._adopt, self._hear_of_vault, vault_version)
        self._hub = Hub(registry=self._link)
        self._publisher = BoardPublisher(board, row, self._hub, self._link, metrics)
        self._admission = Admission(board, row, self._room_made)
        self._row = self._publisher.row
        self._drains = DrainOrders(
            self._go_by, lambda: self._config.upstreams, lambda: self._rules.resolver, self._drains_failed
        )
        self._drained = self._all_drained = False
        self._ordered: wire.Message | None = None  # drains that are not followed yet
        self._progress = Progress(self._hub)
        self._balancer = Balancer()
        self._rules = RulesetFactory(self._balancer, metrics.resolver)
        self._pool = IdlePool()
        self._closing = ClosingConnections()
        self._turns = Turns()
        self._accepting = trio.CancelScope()
        self._turned_away = 0
        self._exhausted_logged = -_LOG_INTERVAL
        self._listeners: list[socket.socket] = []
        self._log: Logger | None = None
        self._orphaned = False
        self._reloading = False
        self._wanted: list[int] | None = None  # what a reload that waits has come with

    async def run(self) -> None:
        """Do what the supervisor says, until it says stop."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, self._hub.opened():
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            await run_vital(partial(self._serve_supervisor, signals), self.die)
            self._pool.close()
            self._closing.close()
            self._link.finish()
            # Trio raises those anew that nobody has looked at: a Ctrl-C goes to all processes of the terminal.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

    async def _serve_supervisor(self, signals: AsyncIterator[int], tasks: VitalTasks) -> None:
        self._tasks = tasks
        trio.lowlevel.add_instrument(RelayInstrument(self._hub, self._row[Column.BEAT :]))
        rooms = (self._link.run, self._progress.run, self._publisher.run, self._admission.run)
        for task in (self._hub.run, self._turns.run, self._pool.run, self._closing.run, *rooms):
            tasks.start_soon(task)
        tasks.start_soon(self._on_message, signals)
        self._supervisor.reply("imported")
        await self._work()

    async def _work(self) -> None:
        async for words, fds in self._supervisor.commands():
            if words["do"] == "stop":
                if self._hub.left:  # unwinding would log the ends of calls that go on elsewhere
                    self._exit()
                return
            if words.get("fds") and not fds and words["do"] not in ("reload", "attend", "inherit", "retire"):
                raise OSError(f"no descriptor is left for what belongs to {words['do']!r}")
            await self._obey(words, fds)
        await self._finish_alone()

    # Unwinding would close every call's sockets in order. Dying keeps them: the vault has them, and a spare is waiting.
    # They are silent until then, so the log is not waited for long.
    def die(self, error: BaseException) -> NoReturn:
        """End this process where it stands, whatever else goes wrong; `error` is why."""
        try:
            text = "".join(traceback.format_exception(error))[-2000:]
            if self._log is not None:
                self._log.error("worker_crash", pid=os.getpid(), error=repr(error), traceback=text)
            else:
                print(text, file=sys.stderr)  # noqa: T201 - how to log has not been told yet
            self._lines.close(_LAST_WORDS)
        finally:
            os._exit(1)

    async def _obey(self, words: wire.Message, fds: list[int]) -> None:
        match words["do"]:
            case "prepare":
                await self._prepare(words, fds[0])
            case "serve":
                await self._serve(words, fds)
            case "reload":
                self._reload_soon(fds)
            case "drain":
                self._drained = self._context.draining = True
                await self._context.idle.end_within(_LAST_REQUEST)
                self._publisher.publish()
                self._supervisor.reply("draining")
            case "drains":
                self._follow_soon(words["drains"])
            case "attend":
                for fd in fds:  # there may be none left for it: then there is nobody to answer
                    self._tasks.start_soon(answer_queries, received(fd), self._answers(), self._answer_failed)
            case "expire":
                self._hub.end_all(Side.PROXY, "drain")
            case "retire":
                heirs = [Heir(received(fd), words.get("speaks", wire.VERSION)) for fd in fds]
                self._tasks.start_soon(self._retire, words.get("seconds", _RETIRE_TIMEOUT), words.get("linger"), *heirs)
            case "inherit":
                for fd in fds:
                    self._tasks.start_soon(inherit, received(fd), self._inherit)
            case _:  # of a supervisor that knows more
                for fd in fds:
                    os.close(fd)

    # ---- a slot ----

    # All that takes time is done before there is a slot to take: calls may be waiting then.
    async def _prepare(self, words: wire.Message, fd: int) -> None:
        prepared = await self._read(fd)
        config = self._config = prepared.config
        self._log = make_logger(self._lines, config.log.format, colors=os.isatty(sys.stdout.fileno()))
        self._access = AccessLog(self._log, config.log.query)
        self._observer = Observers(self._metrics, self._endpoints, self._access)
        self._metrics.know(config.routes)
        self._progress.every(config.log.progress, self._observer.tunnel_goes_on)
        self._context = self._publisher.context = self._admission.context = SessionContext(
            rules=self._rules.make(config, prepared.table, self._tasks),
            dial=lambda endpoint: dial(endpoint, self._config.limits.socket_buffer),
            pool=self._pool,
            closing=self._closing,
            balancer=self._balancer,
            splice=self._hub.splice,
            observer=self._observer,
            vault=self._link,
            others=self._publisher.others,
            turns=self._turns,
            may_use_pod=self._admission.may_use_pod,
            yield_to_relay=self._hub.turn_if_due,
        )
        self._tasks.start_soon(watch_clients, self._context.waiting)
        self._tasks.start_soon(self._drains.run)
        if words.get("drains"):
            await self._avoid(words["drains"])
        collect_young_only()
        self._tasks.start_soon(collect_if_grown, lambda: self._context.counts.active, self._garbage_found)
        self._supervisor.reply("prepared")

    async def _serve(self, words: wire.Message, fds: list[int]) -> None:
        self._drained = words["draining"]
        self._context.draining = self._drained or self._all_drained
        if self._drained:
            await self._context.idle.end_within(_LAST_REQUEST)
        self._row[Column.SLOT] = words["slot"]
        self._link.serve(words["slot"], words["slots"])
        self._listeners = [socket.socket(fileno=fd) for fd in fds]
        self._limit_buffers()
        self._row[Column.LISTENING] = 1
        self._tasks.start_soon(self._accept_all)
        setproctitle(f"splicer: worker {words['slot']}")
        self._publisher.publish()
        self._supervisor.reply("serving")

    # The listening sockets are those of all workers: who read the file last has the say.
    def _limit_buffers(self) -> None:
        size = self._config.limits.socket_buffer
        for listener in self._listeners:
            limit_buffers(listener, size)
            if (granted := granted_buffer(listener)) < size:
                remedy = "a higher net.core.rmem_max and net.core.wmem_max"
                self._log_error("socket_buffer_capped", wanted=size, granted=granted, remedy=remedy)

    # ---- what an operator asks for ----

    # One at a time, and the newest wins.
    def _follow_soon(self, wanted: wire.Message) -> None:
        following, self._ordered = self._ordered is not None, wanted
        if not following:
            self._tasks.start_soon(self._follow)

    async def _follow(self) -> None:
        done = None
        while self._ordered is not done:
            done = self._ordered
            assert done is not None  # noqa: S101 - it has been ordered
            await self._avoid(done)
        self._ordered = None
        self._publisher.publish()  # whoever asks what remains does so next
        self._supervisor.reply("drains_set")

    # What the supervisor keeps comes to every worker that will ever start: it may not end one.
    async def _avoid(self, wanted: wire.Message) -> None:
        try:
            self._all_drained = wanted["all"] is not None
            self._context.draining = self._drained or self._all_drained
            await self._drains.follow(wanted)
        except Exception as error:  # noqa: BLE001 - it is told of
            self._drains_failed(error)

    def _drains_failed(self, error: Exception) -> None:
        self._log_error("drains_not_followed", error=repr(error))

    def _answer_failed(self, error: Exception) -> None:
        self._log_error("query_failed", error=repr(error))

    def _go_by(self, drains: Drains) -> None:
        self._context.drains = drains

    def _answers(self) -> Mapping[str, Answer]:
        slot = self._row[Column.SLOT]
        return {
            "tunnels": lambda _: tunnel_rows.tunnels(self._hub, slot),
            "gauges": lambda _: tunnel_rows.counts(self._hub, slot),
            "endpoints": lambda _: self._endpoints.rows(self._config, self._rules.resolver, self._balancer.live),
            "close": self._close_one,
        }

    def _close_one(self, words: wire.Message) -> RowBatches:
        found = tunnel_rows.find(self._hub, words["id"])
        if found is not None:
            self._hub.end(found, Side.PROXY, "operator")
            yield [{"closed": words["id"]}]

    async def _read(self, fd: int) -> Prepared:
        return await trio.to_thread.run_sync(prepare, wire.read_text(fd), self._path, self._environ)

    async def _accept_all(self) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    nursery.start_soon(
                        accept_forever, listener, self._accept, self._exhausted, self._publisher.has_enough
                    )

    def _accept(self, sock: socket.socket, peer: str) -> None:
        counts = self._context.counts
        counts.accepted += 1
        stream = TcpStream(sock)
        if not self._admission.may_ask():
            self._observer.connection_refused(peer, TooManyConnections())
            if self._turned_away < _MAX_REFUSALS:
                self._tasks.start_soon(self._turn_away, ClientLeg(stream, peer))
            else:
                stream.close()
            return
        counts.handled += 1
        over = self._admission.over() >= 0
        self._tasks.start_soon(Connection(self._context, stream, peer, over=over).serve)
        self._publisher.publish()

    async def _turn_away(self, client: ClientLeg) -> None:
        self._turned_away += 1
        try:
            await send_refusal(client, TooManyConnections())
            await client.linger()
        except Exception as error:  # noqa: BLE001 - as in a connection that is served
            self._observer.crashed(client.peer, None, error)
        finally:
            self._turned_away -= 1
            client.stream.close()

    def _inherit(self, sock: socket.socket, peer: str) -> None:
        self._tasks.start_soon(Connection(self._context, TcpStream(sock), peer, place=ConnectionState.WAITING).serve)

    def _exhausted(self, error: OSError) -> bool:
        if self._context.idle.make_room():
            return True
        now = trio.current_time()
        if now - self._exhausted_logged >= _LOG_INTERVAL:
            self._exhausted_logged = now
            self._log_error("accept_backs_off", error=error.strerror, tunnels=self._hub.tunnels)
        return False

    # ---- tunnels of those who are dead, or have left ----

    def _adopt(self, adopted: Adopted) -> None:
        try:
            past = passport.read(adopted.passport, adopted.adoptions)
        except ValueError as error:
            self._log_error("adoption_failed", error=str(error))
            for sock in (adopted.client, adopted.pod):
                TcpStream(sock).close()
            for fd in adopted.pipes.values():
                os.close(fd)
            self._link.release(adopted.key)
            return
        self._link.remember(adopted)
        self._row[Column.ADOPTED] += 1
        streams = TcpStream(adopted.client), TcpStream(adopted.pod)
        self._tasks.start_soon(run_adopted, self._context, past, *streams, adopted.pipes)

    def _hear_of_vault(self, event: str) -> None:
        if event != "vault_connected":
            self._log_error(event, tunnels=self._hub.tunnels)
        elif self._log is not None:
            self._observer.say(self._log.info, event, tunnels=self._hub.tunnels)

    def _room_made(self, connections: int) -> None:
        self._log_error("idle_connections_closed", connections=connections, tunnels=self._hub.tunnels)

    def _garbage_found(self, objects: int, seconds: float) -> None:
        if objects:
            self._log_error("garbage_found", objects=objects, ms=round(seconds * 1000, 3), tunnels=self._hub.tunnels)

    def _log_error(self, event: str, **fields: Any) -> None:
        if self._log is not None:
            self._observer.say(self._log.error, event, **fields)

    # Frames and handshakes go on until nothing is under way but tunnels, and the vault knows all of these. From then on
    # nothing here touches them.
    async def _retire(self, seconds: float, linger: float | None, heir: Heir | None = None) -> None:
        await self._leave(heir)
        setproctitle(f"{getproctitle()} (leaving)")
        with trio.move_on_after(seconds):
            await self._until(lambda: not self._under_way())
        with trio.move_on_after(self._config.deadlines.drain if linger is None else linger):
            await self._until(lambda: self._link.settled or not self._hub.tunnels)
            if self._link.settled:
                self._hub.let_go()
                self._link.close()
                self._supervisor.reply("handed_over")
            await self._until(lambda: not self._under_way() and not self._hub.tunnels)
        self._exit()

    def _exit(self) -> NoReturn:
        self._lines.close()
        os._exit(0)

    # A connection without a request goes to the heir, or has one more answered, and that answer says that it is the
    # last. Only then the log may be waited for: nobody sends anything here any more.
    async def _leave(self, heir: Heir | None = None) -> None:
        self._stop_listening()
        self._link.stop_serving()
        self._context.retiring = True
        await self._context.idle.end_within(_LAST_REQUEST, None if heir is None else heir.take)

    def _under_way(self) -> int:
        return self._context.counts.active - self._context.lingering - self._hub.tunnels - self._hub.left

    def _stop_listening(self) -> None:
        self._row[Column.LISTENING] = 0
        self._accepting.cancel()
        for listener in self._listeners:
            trio.lowlevel.notify_closing(listener)
            listener.close()
        self._listeners.clear()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():  # noqa: ASYNC110 - an event would cost every exchange, this is rare
            await trio.sleep(_POLL_INTERVAL)

    # ---- the supervisor is gone ----

    async def _on_message(self, signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            if self._orphaned:
                self._tasks.end()

    async def _finish_alone(self) -> None:
        self._orphaned = True
        if self._log is None or not self._row[Column.SLOT]:  # a spare has nothing to finish
            return
        self._log_error("supervisor_lost", tunnels=self._hub.tunnels)
        await self._leave()
        await self._until(lambda: not self._under_way() and not self._hub.tunnels)

    # ---- the rules ----

    # One at a time, and the newest wins: what was asked for later must never be overtaken.
    def _reload_soon(self, fds: list[int]) -> None:
        for fd in self._wanted or ():
            os.close(fd)
        self._wanted = fds
        if not self._reloading:
            self._reloading = True
            self._tasks.start_soon(self._reload_all)

    async def _reload_all(self) -> None:
        while self._wanted is not None:
            fds, self._wanted = self._wanted, None
            await self._reload(fds)
        self._reloading = False
        self._supervisor.reply("reloaded")

    # In a thread: a large file must not hold up the frames.
    async def _reload(self, fds: list[int]) -> None:
        try:
            if not fds:
                raise OSError("no descriptor is left for the text")  # noqa: TRY301 - told of like any other reason
            prepared = await self._read(fds[0])
            self._context.rules = self._rules.make(prepared.config, prepared.table, self._tasks)
            self._access.query = prepared.config.log.query
            self._metrics.know(prepared.config.routes)
            self._progress.every(prepared.config.log.progress, self._observer.tunnel_goes_on)
            self._config = prepared.config
            self._limit_buffers()
        except ConfigError as error:
            self._log_error("reload_failed", file=str(self._path), kept="the old routes", error=error.detail)
        except Exception as error:  # noqa: BLE001 - all calls live beside this task
            self._log_error("reload_failed", file=str(self._path), kept="the old routes", error=repr(error))
