"""What pods do, in the tests of several files."""

from __future__ import annotations

import trio

from tests.kit.http import Message, read_request
from tests.session.edge import Script
from tests.session.message import OK
from tests.session.wire import Peer


async def silent(pod: Peer) -> None:
    await trio.sleep_forever()


async def resetting(pod: Peer) -> None:
    await read_request(pod)
    pod.end.reset()


def noting(requests: list[Message], raw: bytes = OK) -> Script:
    """Takes note of every request on a connection, and gives all the same answer."""

    async def script(pod: Peer) -> None:
        while True:
            requests.append(await read_request(pod))
            await pod.send(raw)

    return script
