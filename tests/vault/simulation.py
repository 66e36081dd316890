"""Real tunnels, a real holder, and workers that come and go: what the journal's law is about.

Everything happens in the order in which it is called, but for the kernel's own work.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from splicer.ipc.codec import from_json, to_json
from splicer.vault import handover, protocol
from splicer.vault.held import Held
from splicer.vault.holder import Holder
from tests.vault.call import Broken, Call
from tests.vault.forge import Forge, Gone, Worker

_TIMEOUT = 10.0  # seconds without a byte or an end that is due


class Simulation:
    """A holder, its workers, and calls.

    Args:
        forge: makes the workers.
        fuses: system calls that the first worker dies at, then the second …; 0: none.
        flaw: of the workers.
        narrow: hardly any message fits into a channel, and a worker doesn't wait for room.
        hold: makes the holder.
        path: of the holder's socket, if it is a process of its own.
    """

    def __init__(
        self,
        forge: Forge,
        fuses: Sequence[int] = (),
        flaw: str = "",
        hold: Callable[[selectors.BaseSelector, Callable[..., None]], Holder] = Holder,
        path: Path | None = None,
        *,
        narrow: bool = False,
    ) -> None:
        self._forge = forge
        self.narrow = narrow
        self.deaf = False  # the holder stands still, until a worker dies at the latest
        self._fuses = list(fuses)
        self._flaw = flaw
        self._hold = hold
        self.selector = selectors.DefaultSelector()
        self.holder = hold(self.selector, self._log)
        self.logged: list[str] = []
        self.calls: list[Call] = []
        self.worker: Worker | None = None
        self.steps: list[int] = []  # of each worker
        self._listener = _listen(path, self.selector, self._accept) if path else None
        self._path = path
        self.adopt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.worker is not None:
            self.worker.close()
            self._reap()
        for call in self.calls:
            for side in call.sides:
                side.sock.close()
        for held in list(self.holder.tunnels.values()):
            held.close()
        self.selector.close()
        if self._listener is not None:
            self._listener.close()

    def _accept(self, _: int) -> None:
        assert self._listener is not None
        self.holder.attach(self._listener.accept()[0])

    def _log(self, event: str, **_: Any) -> None:
        self.logged.append(event)

    def hear(self) -> None:
        """Let the holder do what is to be done."""
        while not self.deaf and (ready := self.selector.select(0)):
            for key, events in ready:
                key.data(events)
        for call in self.calls:
            call.registered |= call.key in self.holder.tunnels

    # ---- what happens ----

    def adopt(self) -> None:
        """A worker begins, if none is there, and takes what the last one left."""
        if self.worker is not None:
            return
        fuse = self._fuses.pop(0) if self._fuses else 0
        if self._path is None:
            ours, its = protocol.channel()
            self.holder.attach(ours)
            if self.narrow:
                its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            self.worker = self._forge.make(its, fuse, self._flaw, hasty=self.narrow)
        else:
            self.worker = self._forge.make(str(self._path), fuse, self._flaw)
        self.steps.append(0)
        try:
            self.worker.greet()
        except Gone:
            self._reap()
            return
        self._order("serve")

    def open(self, early: int = 0, eager: int = 0) -> None:
        """A call begins; its pod has sent so many bytes already, and its client."""
        self.adopt()
        if self.worker is None:
            return
        call = Call(len(self.calls))
        self.calls.append(call)
        call.unprotected = self.narrow or self.deaf
        client, pod = call.sides
        pod.sent, client.sent = early, eager
        head = min(early, 129)
        self._order(
            "open",
            tuple(sock.fileno() for sock in call.inner),
            id=f"{call.key:016x}",
            head=pod.source[:head].decode("latin-1"),
            to_client=pod.source[head:early].decode("latin-1"),
            to_pod=client.source[:eager].decode("latin-1"),
        )
        for sock in call.inner:
            sock.close()

    def turn(self) -> None:
        """The hub moves what there is; a dead worker's, after another has come."""
        self.adopt()
        self._order("turn")

    def reset(self, number: int, which: int) -> None:
        """An outer end leaves with an RST."""
        call = self.calls[number]
        if not call.never:
            call.cut = True
            call.sides[which].reset()

    def expire(self) -> None:
        """The worker ends all its calls, whatever is parked."""
        if self.worker is not None:
            for call in self.calls:
                call.cut = True
            self._order("expire")

    def kill(self) -> None:
        """SIGKILL."""
        if self.worker is not None:
            self.worker.kill()
            self._reap()

    def hand_over(self) -> None:
        """The worker leaves its tunnels on purpose."""
        self._order("hand over")

    def lose_vault(self) -> None:
        """The holder is gone with all that it held; another one comes, and the worker tells it everything."""
        self.hear()
        old, self.holder = self.holder, self._hold(self.selector, self._log)
        for channel in old.channels:
            self.selector.unregister(channel.sock)
            channel.sock.close()
            for fd in channel.pipes.values():
                os.close(fd)
            if channel.journal is not None:
                channel.journal.close()
        for held in old.tunnels.values():
            held.close()
        give_up = time.monotonic() + _TIMEOUT
        while set(self.holder.tunnels) != set(old.tunnels):
            assert time.monotonic() < give_up, "not everything is registered again"
            self.hear()

    def change_program(self) -> None:
        """The holder goes on as another program: over JSON, and the descriptors that it spoke of."""
        self.hear()
        state, _ = handover.dump(self.holder)
        for channel in self.holder.channels:
            self.selector.unregister(channel.sock)
            channel.sock.detach()
        self.holder = self._hold(self.selector, self._log)
        handover.restore(self.holder, from_json(handover.HolderState, to_json(state)))
        self.hear()

    def _order(self, do: str, fds: tuple[int, ...] = (), **words: Any) -> None:
        if self.worker is None:
            return
        try:
            self.worker.order(do, fds, **words)
        except Gone:
            self._reap()
            return
        self.steps[-1] = self.worker.steps
        self.hear()

    def _reap(self) -> None:
        assert self.worker is not None
        self.worker.close()
        self.worker, self.deaf = None, False
        give_up = time.monotonic() + _TIMEOUT
        while self.holder.channels:
            assert time.monotonic() < give_up, "the holder doesn't see the end of a channel"
            self.hear()
        for call in self.calls:
            if call.unprotected:
                call.cut |= not call.registered
            else:
                call.never |= not call.registered

    # ---- how it ends ----

    def finish(self) -> None:
        """Bring every call to its end, and judge."""
        self.deaf = False
        self.hear()
        idle_since = time.monotonic()
        while not all(side.ended for call in self.calls for side in call.sides):
            self.adopt()
            moved = False
            for call in self.calls:
                for side in call.sides:
                    if not side.finished:
                        side.half_close()
                    while side.read(1 << 16):
                        moved = True
            self.turn()
            if moved:
                idle_since = time.monotonic()
            elif time.monotonic() > idle_since + _TIMEOUT:
                raise Broken("a call never ends: " + ", ".join(self._open()))
            else:
                time.sleep(0.001)
        for call in self.calls:
            call.check()
        self._nothing_is_left()

    def _open(self) -> list[str]:
        names = ("client", "pod")
        return [
            f"{name} of {call.key:x} ({len(side.got)} bytes so far)"
            for call in self.calls
            for name, side in zip(names, call.sides, strict=True)
            if not side.ended
        ]

    def _nothing_is_left(self) -> None:
        give_up = time.monotonic() + _TIMEOUT
        while self.holder.tunnels:
            self.adopt()
            self.turn()
            if time.monotonic() > give_up:
                raise Broken(f"the holder still has {len(self.holder.tunnels)} tunnels")
        if self.worker is not None:
            self.worker.close()
            self._reap()
        kept: list[dict[int, Held]] = [self.holder.tunnels, self.holder.placement.orphans, self.holder.pipes.inherited]
        if any(kept):
            raise Broken("the holder has kept something")


def _listen(path: Path, selector: selectors.BaseSelector, accept: Callable[[int], None]) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    listener.bind(str(path))
    listener.listen()
    selector.register(listener, selectors.EVENT_READ, accept)
    return listener
