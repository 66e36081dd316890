"""A worker's link to a vault whose end the test has."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind, Message
from splicer.worker.adopted import Adopted
from splicer.worker.vault_link import VaultLink
from tests.vault.rig import Pipe, Rig, Tunnel

LONG_SECONDS = 0.1  # seconds: longer than anything gathers


class Linked:
    """A link, and what it told."""

    def __init__(self, sock: socket.socket | None, path: Path | None) -> None:
        self.adopted: list[Adopted] = []
        self.told: list[str] = []
        self.link = VaultLink(sock, path, self.adopted.append, self.told.append)

    async def register(self, tunnel: Tunnel) -> None:
        await self.link.register(tunnel.key, b"passport", tunnel.inner_client, tunnel.inner_pod)

    def add(self, place: int, pipe: Pipe) -> None:
        self.link.add_pipe(place, pipe.read_fd, 0)

    @property
    def waits(self) -> bool:
        """Whether anything that was said has not left."""
        outbox = self.link._channel.outbox
        return outbox is not None and not outbox.is_empty

    def fill(self) -> int:
        """Say something until the channel is full: the RELEASE of 1, 2, …; how many."""
        count = 0
        while not self.waits:
            count += 1
            self.link.release(count, soon=True)
        return count


@asynccontextmanager
async def link_to(sock: socket.socket | None, path: Path | None = None) -> AsyncIterator[Linked]:
    async with closing(sock, path) as linked, trio.open_nursery() as nursery:
        nursery.start_soon(linked.link.run)
        await wait_all_tasks_blocked()
        yield linked
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def closing(sock: socket.socket | None, path: Path | None = None) -> AsyncIterator[Linked]:
    """A link that nobody runs."""
    linked = Linked(sock, path)
    try:
        yield linked
    finally:
        linked.link.close()
        linked.link.journal.close()
        for adopted in linked.adopted:
            adopted.client.close()
            adopted.pod.close()
            for fd in adopted.pipes.values():
                os.close(fd)


class Vault:
    """The vault's end, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def hear(self) -> Message:
        message = protocol.receive(self.sock)
        assert message is not None
        return message

    def heard(self) -> list[tuple[int, int]]:
        """Kind and number of all that is there; descriptors are closed."""
        messages = []
        try:
            while True:
                message = self.hear()
                messages.append((message.kind, message.number))
                message.close()
        except BlockingIOError:
            return messages

    async def hear_all(self, linked: Linked) -> list[tuple[int, int]]:
        """The same, until the worker has nothing left to say."""
        messages = self.heard()
        while not linked.link.settled:
            await trio.sleep(0.001)
            messages += self.heard()
        return messages + self.heard()


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Linked, Vault]]:
    ours, its = protocol.channel()
    with ours:
        async with link_to(its) as linked:
            vault = Vault(ours)
            assert vault.heard() == [(Kind.HELLO, 0)]
            yield linked, vault


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen()
        yield listener
    path.unlink()  # noqa: ASYNC240 - it's quick


async def accepted(listener: socket.socket) -> Vault:
    with trio.fail_after(20):
        await trio.lowlevel.wait_readable(listener)
    sock, _ = listener.accept()
    sock.setblocking(False)
    await wait_all_tasks_blocked()
    return Vault(sock)


@asynccontextmanager
async def both_in(rig: Rig) -> AsyncIterator[Linked]:
    """A link to a real holder."""
    ours, its = protocol.channel()
    rig.holder.attach(ours)
    async with link_to(its) as linked:
        rig.hear()
        yield linked


class Notes:
    """Who was called back, in order."""

    def __init__(self, link: VaultLink) -> None:
        self.calls: list[str] = []
        self._link = link

    def release(self, key: int, *, soon: bool = False) -> None:
        self._link.release(
            key,
            soon=soon,
            then=lambda: self.calls.append(f"then {key}"),
            after=lambda: self.calls.append(f"after {key}"),
        )
