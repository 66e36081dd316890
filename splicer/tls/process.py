"""A tls process: it follows the supervisor's orders, and takes connections from workers."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from splicer.ipc import wire
from splicer.ipc.board import Column
from splicer.ipc.codec import from_json
from splicer.ipc.message import Message
from splicer.ipc.messages import Unknown
from splicer.ipc.tls_messages import (
    AttendTls,
    ConfigureTls,
    ReachPod,
    RetireTls,
    ServeClient,
    TlsConfigured,
    TlsCrash,
    TlsOrder,
    TlsProfileRead,
    TlsReady,
    TlsSettings,
    TlsTask,
)
from splicer.ipc.tls_table import OwnRow, ProcessWord, Word
from splicer.tls.client_handshake import ClientHandshake
from splicer.tls.ends import LinkEnds
from splicer.tls.handshake import Handshake
from splicer.tls.kernel import line_of
from splicer.tls.link import Link
from splicer.tls.liveness import Sweep
from splicer.tls.loop import IN, Loop
from splicer.tls.pod_handshake import PodHandshake
from splicer.tls.preface import pack
from splicer.tls.probe import probe_context
from splicer.tls.store import Store
from splicer.tls_facts import TlsFacts, TlsFailure

_SECOND = 1.0  # seconds between two looks at the files
_BEAT_SECONDS = 0.5
_LAST_TASK_SECONDS = 2.0  # seconds in which workers learn that this process is to end
_LOG_INTERVAL = 10 * 10**9  # ns between two reports of crashes
_TASKS = 4  # tasks of one worker in a row
_MOST_CHANNELS = 1024


class TlsProcess:
    """Serves until the supervisor says "stop", or is gone and the last connection is over.

    Args:
        control: the channel to the supervisor.
        version: the supervisor's version of the wire.
        row: the number of the process's row.
        beat: the process's row on the board.
        words: its row of the TLS table.
    """

    def __init__(
        self, control: socket.socket, version: int, row: int, beat: memoryview[int], words: memoryview[int]
    ) -> None:
        self._control = control
        self._version = version
        self._row = row
        self._board = beat
        self._own = OwnRow(words)
        self._loop = Loop(self._crashed)
        self._store = Store(lambda facts: self._say(TlsProfileRead(facts)))
        self._probe = probe_context()
        self._handshakes: set[Handshake] = set()
        self._links: set[LinkEnds] = set()
        self._sweep = Sweep(self._loop, self._links, words)
        self._channels: set[socket.socket] = set()
        self._leaving = False
        self._deaf = False  # no worker is served any more
        self._complained = 0

    def run(self) -> None:
        """Serve."""
        loop = self._loop
        loop.watch(self._control.fileno(), IN, self._hear)
        self._say(TlsReady())
        self._beat()
        self._look_at_files()
        self._sweep.run()
        loop.run()
        loop.close()

    # ---- the supervisor ----

    def _say(self, report: Message) -> None:
        with suppress(OSError):  # the end of the channel is about to be read
            wire.send(self._control, report, version=self._version)

    def _hear(self, _: int) -> None:
        try:
            heard = wire.receive(self._control, TlsOrder)
        except BlockingIOError:
            return
        except (ValueError, OSError):
            heard = None
        if heard is None:
            self._loop.forget(self._control.fileno())
            self._leave()
            return
        if heard.message is None and heard.request is not None:
            self._say(Unknown(heard.request))
        self._obey(heard.message, heard.fds)

    def _obey(self, order: TlsOrder | None, fds: list[int]) -> None:
        match order:
            case ConfigureTls(request):
                faults = self._store.use(from_json(TlsSettings, wire.read_text(fds[0])))
                if not faults:
                    for facts in self._store.facts():
                        self._say(TlsProfileRead(facts))
                self._say(TlsConfigured(request, tuple(faults)))
            case AttendTls():
                for fd in fds:  # the message has no descriptor if this process had none free
                    self._attend(socket.socket(fileno=fd))
            case RetireTls():
                self._leave()

    # What comes too late is closed, and the worker turns to another process.
    def _attend(self, channel: socket.socket) -> None:
        if self._deaf or len(self._channels) >= _MOST_CHANNELS:
            channel.close()
            return
        channel.setblocking(False)
        self._channels.add(channel)
        self._loop.watch(channel.fileno(), IN, partial(self._take_tasks, channel))

    # A worker that has not heard yet of newer ones still sends connections, and gets them served.
    def _leave(self) -> None:
        self._leaving = True
        self._loop.later(_LAST_TASK_SECONDS, self._close_channels)
        self._end_if_over()

    def _close_channels(self) -> None:
        self._deaf = True
        for channel in list(self._channels):
            self._drop(channel)
        self._end_if_over()

    def _drop(self, channel: socket.socket) -> None:
        self._channels.discard(channel)
        self._loop.forget(channel.fileno())
        channel.close()

    def _end_if_over(self) -> None:
        if self._leaving and not (self._links or self._handshakes or self._channels):
            self._loop.over = True

    def _beat(self) -> None:
        self._board[Column.BEAT] += 1
        self._loop.later(_BEAT_SECONDS, self._beat)

    def _look_at_files(self) -> None:
        self._store.look()
        self._loop.later(_SECOND, self._look_at_files)

    # ---- workers ----

    def _take_tasks(self, channel: socket.socket, _: int) -> None:
        for _ in range(_TASKS):
            try:
                heard = wire.receive(channel, TlsTask)
            except BlockingIOError:
                return
            except (ValueError, OSError):
                heard = None
            if heard is None:
                self._drop(channel)
                self._end_if_over()
                return
            socks = [socket.socket(fileno=fd) for fd in heard.fds]
            try:
                if heard.message is not None and len(socks) == 2:
                    self._begin(heard.message, *socks)
                    continue
            except Exception as error:  # noqa: BLE001 - a bug, or no memory, ends one connection
                self._log_crash(error)
            for sock in socks:
                sock.close()

    def _begin(self, task: TlsTask, raw: socket.socket, plain: socket.socket) -> None:
        for sock in (raw, plain):
            sock.setblocking(False)
        more = self._loop, raw, plain, self._established, self._handshake_over
        match task:
            case ServeClient(profile) if (contexts := self._store.server(profile)) is not None:
                self._handshakes.add(ClientHandshake(contexts, self._probe, *more))
            case ReachPod(upstream, sni, names) if (context := self._store.pod(upstream)) is not None:
                handshake = PodHandshake(context, sni, names, *more)
                if not handshake.closed:
                    self._handshakes.add(handshake)
            case _:
                self._refuse(raw, plain, TlsFailure("tls_no_profile", f"there is no profile for {task!r}"[:200]))

    def _refuse(self, raw: socket.socket, plain: socket.socket, failure: TlsFailure) -> None:
        with suppress(OSError):
            plain.send(pack(failure))
        raw.close()
        plain.close()

    def _established(self, handshake: Handshake, facts: TlsFacts) -> None:
        self._handshakes.discard(handshake)
        tls, claimed = handshake.tls, self._own.claim()
        if tls is None or claimed is None:
            handshake.close()
            return
        entry, serial = claimed
        link = Link(
            self._loop,
            handshake.raw,
            handshake.plain,
            tls,
            handshake.incoming,
            handshake.outgoing,
            self._own.words,
            entry,
            self._link_over,
            to_pod=isinstance(handshake, PodHandshake),
        )
        self._links.add(link)
        self._own.words[link.base + Word.LINE] = line_of(handshake.raw) or 0
        placed = replace(facts, row=self._row, entry=entry, serial=serial)
        link.begin(pack(placed))

    def _handshake_over(self, handshake: Handshake) -> None:
        self._handshakes.discard(handshake)
        self._end_if_over()

    def _link_over(self, link: LinkEnds, entry: int) -> None:
        self._links.discard(link)
        self._sweep.forget(link)
        self._own.release(entry)
        self._end_if_over()

    def _crashed(self, call: Callable[..., None], error: Exception) -> None:
        owner: Any = getattr(call, "__self__", None)
        if not isinstance(owner, Link | Handshake):
            raise error
        self._log_crash(error)
        owner.close()

    def _log_crash(self, error: Exception) -> None:
        self._own.words[ProcessWord.FAILED] += 1
        if self._loop.now - self._complained > _LOG_INTERVAL:
            self._complained = self._loop.now
            self._say(TlsCrash("".join(traceback.format_exception(error))[-2000:]))
