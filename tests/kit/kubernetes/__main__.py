"""The API server as a process: `python -m tests.kit.kubernetes DIRECTORY SCHEME`; see tests/kit/apiserver.py.

It says its port, then obeys: a line of JSON in, `{"do": …, …}`, a line out. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
import trio.testing

from tests.kit.kubernetes.certificates import Certificates
from tests.kit.kubernetes.controller import Pod
from tests.kit.kubernetes.faults import Fault
from tests.kit.kubernetes.server import Server

_BACKLOG = 64


class Process:
    """The server, its port and its orders: each public method is one."""

    def __init__(self, directory: Path, *, tls: bool) -> None:
        self._directory = directory
        self._server = Server()
        self._certificates = Certificates.make() if tls else None
        self._port = 0
        self._listening: trio.CancelScope | None = None
        self._nursery: trio.Nursery
        if not tls:
            self._server.token = None

    async def run(self) -> None:
        if self._certificates is not None:
            self._write("ca.crt", self._certificates.ca)
        self._write("token", (self._server.token or "").encode())
        async with trio.open_nursery() as self._nursery:
            await self.listen()
            print(json.dumps({"port": self._port}), flush=True)  # noqa: T201 - what the test reads
            await self._obey()
            self._nursery.cancel_scope.cancel()

    async def listen(self, *, fresh: bool = False) -> None:
        """Accept connections; fresh: as a process that has just been started."""
        if fresh:
            self._server.start_again()
        listener = trio.socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await listener.bind(("127.0.0.1", self._port))
        listener.listen(_BACKLOG)
        self._port = listener.getsockname()[1]
        self._listening = trio.CancelScope()
        self._nursery.start_soon(self._accept, listener, self._listening)

    async def refuse(self) -> None:
        """Stop listening; connections that there are go on."""
        assert self._listening is not None
        self._listening.cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def crash(self) -> None:
        """Stop listening, and cut all connections."""
        await self.refuse()
        self._server.drop_all()
        await trio.testing.wait_all_tasks_blocked()

    def sync(self, namespace: str, service: str, pods: list[dict[str, Any]], **how: Any) -> None:
        self._server.namespaces.add(namespace)
        made = [Pod(**pod) for pod in pods]
        self._server.controller.sync(namespace, service, made, **how)

    def remove(self, namespace: str, service: str) -> None:
        self._server.controller.remove(namespace, service)

    def copy(self, namespace: str, service: str, pod: str) -> None:
        self._server.controller.copy(namespace, service, pod)

    def slices(self, namespace: str, service: str) -> Any:
        return self._server.controller.slices(namespace, service)

    def most(self, endpoints: int) -> None:
        self._server.controller.most = endpoints

    def forbid(self, namespace: str) -> None:
        self._server.namespaces.discard(namespace)

    def permit(self, namespace: str) -> None:
        self._server.namespaces.add(namespace)

    def token(self, text: str, *, publish: bool = True) -> None:
        """Take another token from now on; publish: the file has it, too."""
        self._server.token = text
        if publish:
            self._write("token", text.encode())

    def certificates(self, *, publish: bool = True) -> None:
        """Show a certificate of another CA from now on; publish: the file has it, too."""
        self._certificates = Certificates.make()
        if publish:
            self._write("ca.crt", self._certificates.ca)

    def compact(self) -> None:
        self._server.storage.compact()

    def bookmark(self) -> None:
        for watch in self._server.watches:
            watch.bookmark()
        self._server.storage.wake()

    def bookmarks_every(self, seconds: float) -> None:
        self._server.bookmarks = seconds

    def end_watches(self) -> None:
        for watch in self._server.watches:
            watch.end()
        self._server.storage.wake()

    def fault(self, **how: Any) -> None:
        self._server.faults.add(**how)

    def spoil(self, **how: Any) -> None:
        """Let the watches that run do something wrong now."""
        for watch in self._server.watches:
            watch.spoil(Fault(**how))
        self._server.storage.wake()

    def mute(self, *, on: bool) -> None:
        self._server.mute(on)

    def asked(self) -> list[dict[str, Any]]:
        return [
            {"time": each.time, "target": each.target, "headers": dict(each.headers), "status": each.status}
            for each in self._server.asked
        ]

    def watching(self) -> int:
        return len(self._server.watches)

    async def _accept(self, listener: trio.socket.SocketType, scope: trio.CancelScope) -> None:
        with scope, listener:
            while True:
                sock, _ = await listener.accept()
                stream: trio.abc.Stream = trio.SocketStream(sock)
                if self._certificates is not None:
                    stream = trio.SSLStream(stream, self._certificates.context, server_side=True)
                self._nursery.start_soon(self._server.serve, stream)

    async def _obey(self) -> None:
        orders = trio.lowlevel.FdStream(os.dup(0))
        buffer = b""
        async for data in orders:
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                order = json.loads(line)
                method: Callable[..., Any] = getattr(self, order.pop("do"))
                result = method(**order)
                if hasattr(result, "__await__"):
                    result = await result
                print(json.dumps({"result": result}), flush=True)  # noqa: T201 - what the test reads

    # As the kubelet does it: a reader sees the old file or the new one, never a part.
    def _write(self, name: str, data: bytes) -> None:
        new = self._directory / f".{name}"
        new.write_bytes(data)
        new.replace(self._directory / name)


if __name__ == "__main__":
    trio.run(Process(Path(sys.argv[1]), tls=sys.argv[2] == "https").run)
