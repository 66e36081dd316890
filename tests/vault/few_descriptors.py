"""A user with few descriptors registers many tunnels at once; prints how many of them the vault's end was told of."""

from __future__ import annotations

import os
import resource
import socket

import trio
from trio.testing import wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import Kind
from splicer.worker.vault_link import VaultLink

_NOBODY = 65534
_TUNNELS = 60  # two descriptors each: more than may be on their way
_LIMIT = 50


async def main() -> None:
    """Register, then read."""
    ours, its = protocol.channel()
    link = VaultLink(its, None, lambda _: None, lambda _: None)
    told = 0
    one, other = socket.socketpair()
    with ours, one, other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await wait_all_tasks_blocked()
            os.setuid(_NOBODY)
            resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
            for key in range(2, 2 + 2 * _TUNNELS, 2):
                nursery.start_soon(link.register, key, b"", one, other)
            for _ in range(20):
                await trio.sleep(0.05)
                try:
                    while (message := protocol.receive(ours)) is not None:
                        told += message.kind == Kind.TUNNEL
                        message.close()
                except BlockingIOError:
                    continue
            nursery.cancel_scope.cancel()
    print(told)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    trio.run(main)
