"""The base of a storm: pods that accept calls, clients that make them, and a task that checks both."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import trio
from attrs import Factory, define

from tests.kit.calls import handshake
from tests.kit.pods import switching
from tests.kit.site import Place
from tests.stress.peer import Peer, prepare
from tests.stress.plans import Part, Plan
from tests.stress.report import Fault, Kind, Report
from tests.stress.shake import Answer, HalfAnswer, connect, read_answer, read_head, send_head
from tests.stress.streams import Flow
from tests.stress.tunnel import Tunnel

_POLL_INTERVAL = 0.1  # seconds between two checks
_NUMBER = re.compile(rb"^GET /t/(\d+) ")


@define(eq=False)
class Ground:
    """Both sides of every tunnel.

    Args:
        address: of the edge.
        wide: the address of pods with ordinary buffers.
        thin: the address of pods with small buffers.
        nursery: of all tasks.
        patience: seconds after which due bytes, or a due end, count as missing.
        answered: time limit of a handshake, seconds.
        report: the counts so far.
        opened: handshakes that got their 101 so far.
        hurry: all sides should finish sending.
    """

    address: tuple[str, int]
    wide: list[Place]
    thin: list[Place]
    nursery: trio.Nursery
    patience: float
    answered: float
    report: Report = Factory(Report)
    opened: int = 0
    hurry: bool = False
    _tunnels: list[Tunnel] = Factory(list)
    _calling: int = 0
    _peers: set[Peer] = Factory(set)

    @property
    def busy(self) -> bool:
        """Whether a client or pod has not finished."""
        return bool(self._calling or self._peers)

    async def start(self) -> None:
        """Have the pods listen, and start the checks."""
        for place in self.wide:
            await self.nursery.start(self._serve, place, False)
        for place in self.thin:
            await self.nursery.start(self._serve, place, True)
        self.nursery.start_soon(self._watch)

    async def call(self, plan: Plan) -> bool:
        """Make a call, from its handshake to its end.

        Returns:
            Whether there was a tunnel.
        """
        tunnel = Tunnel(len(self._tunnels), plan, self.report, self._flows)
        self._tunnels.append(tunnel)
        self._calling += 1
        with trio.CancelScope() as scope, socket.socket() as sock:
            tunnel.scopes.append(scope)
            await self._client(tunnel, plan.client, sock)
        if tunnel.is_open:
            await tunnel.pod_left.wait()
        self._calling -= 1
        tunnel.count()
        return tunnel.is_open

    async def _client(self, tunnel: Tunnel, part: Part, sock: socket.socket) -> None:
        answer = await self._shake_hands(tunnel, part, sock)
        if answer is None:
            tunnel.stays_closed()
            return
        self.opened += 1
        tunnel.opens()
        tunnel.down.take(memoryview(answer.rest))
        await self._live(Peer(sock, part, tunnel.up, tunnel.down, tunnel.answered, self._is_late))

    async def _shake_hands(self, tunnel: Tunnel, part: Part, sock: socket.socket) -> Answer | None:
        """None, which is no fault, if the connection ends without an answer: its worker was killed in the meantime."""
        begun = trio.current_time()
        try:
            with trio.fail_after(self.answered):
                answer = await self._ask(tunnel, part, sock)
        except trio.TooSlowError:
            tunnel.fail(Kind.HANDSHAKE, f"tunnel {tunnel.number}: no answer within {self.answered:g} s")
            return None
        except (HalfAnswer, ConnectionRefusedError) as error:
            tunnel.fail(Kind.HANDSHAKE, f"tunnel {tunnel.number}: {error}")
            return None
        except OSError:
            answer = None
        self.report.handshake(answer.status if answer else None, trio.current_time() - begun)
        return answer if answer and answer.status == 101 else None

    async def _ask(self, tunnel: Tunnel, part: Part, sock: socket.socket) -> Answer | None:
        places = self.thin if tunnel.plan.pod.narrow else self.wide
        target = f"/ws1/{places[tunnel.number % len(places)].name}/t/{tunnel.number}"
        prepare(sock, narrow=part.narrow)
        await connect(sock, self.address)
        send_head(sock, handshake(target), part.early, tunnel.up)
        return await read_answer(sock)

    async def _serve(
        self, place: Place, narrow: bool, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            prepare(listener, narrow=narrow)
            listener.bind((place.address, place.port))
            listener.listen(1024)
            task_status.started()
            while True:
                await trio.lowlevel.wait_readable(listener)
                with suppress(BlockingIOError):
                    sock, _ = listener.accept()
                    self.nursery.start_soon(self._pod, sock)

    async def _pod(self, sock: socket.socket) -> None:
        with sock:
            prepare(sock, narrow=False)
            try:
                with trio.fail_after(self.patience):
                    head, rest = await read_head(sock)
            except trio.TooSlowError:
                self.report.faults.append(Fault(Kind.STUCK, "", "a pod's connection without a head"))
                return
            except HalfAnswer:
                return  # its worker was killed meanwhile
            if number := _NUMBER.search(head):
                await self._serve_call(self._tunnels[int(number[1])], sock, head, rest)

    async def _serve_call(self, tunnel: Tunnel, sock: socket.socket, head: bytes, rest: bytes) -> None:
        part = tunnel.plan.pod
        with trio.CancelScope() as scope, suppress(OSError):
            tunnel.scopes.append(scope)
            await trio.sleep(part.thinks)
            send_head(sock, switching(head), part.early, tunnel.down)
            tunnel.up.take(memoryview(rest))
            await self._live(Peer(sock, part, tunnel.down, tunnel.up, tunnel.answered, self._is_late))
        tunnel.pod_left.set()

    async def _live(self, peer: Peer) -> None:
        self._peers.add(peer)
        try:
            await peer.run()
        finally:
            self._peers.remove(peer)

    async def _watch(self) -> None:
        while True:
            for peer in list(self._peers):
                if peer.into.waits() > self.patience:
                    peer.into.stuck(self.patience)
            await trio.sleep(_POLL_INTERVAL)

    def _is_late(self) -> bool:
        return self.hurry

    def _flows(self) -> Iterator[Flow]:
        return itertools.chain.from_iterable((tunnel.up, tunnel.down) for tunnel in self._tunnels)
