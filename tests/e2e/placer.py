"""An authorizer that can be killed: it places calls by turns, each answer a moment after its question.

python -m tests.e2e.placer ADDRESS PORT SECONDS NAME...
"""

from __future__ import annotations

import sys
from itertools import cycle

import trio

from tests.kit.pods import ok, raw_pod
from tests.kit.wire import Wire


async def main(*words: str) -> None:
    """Answer until killed."""
    address, port, seconds, *names = words
    turns = cycle(names)

    async def place(wire: Wire) -> None:
        await wire.request()
        await trio.sleep(float(seconds))
        await wire.send(ok(b"", b"X-Pod: " + next(turns).encode()))

    async with trio.open_nursery() as nursery:
        await raw_pod(nursery, address, int(port), place)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
