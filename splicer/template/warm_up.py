"""Work that each process would do once in its life: it is done before the first fork, so that all share the result.

The readers of a configuration's tables and of messages are compiled when they are first used. Trio has ended, without a
thread, when this returns.
"""

from __future__ import annotations

import trio

from splicer.config.load import load
from splicer.ipc import codec
from splicer.ipc.arguments import AdminArguments, DiscoveryArguments, WorkerArguments
from splicer.ipc.messages import AdminOrder, DiscoveryOrder, WorkerOrder
from splicer.observe.metrics import Metrics

_CONFIG = """
[server]
listen = "127.0.0.1:8080"

[upstreams.pod]
address = "{pod}.pods.internal:8000"
allow = ["10.0.0.0/8"]

[[routes]]
name = "pod"
regex = '^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "pod"
rewrite = "{rest}"

[[routes]]
name = "all"
prefix = "/"
respond = { status = 200, body = "it works" }
"""


_TIMES = 16  # CPython rewrites a function in place for its usual types during the first calls (PEP 659)


def warm_up() -> None:
    """Use once what every process uses, and Trio often: code that is still being rewritten is no shared memory."""
    load(_CONFIG, name="routing.toml", environ={})
    for _ in range(_TIMES):
        trio.run(_wait)
    Metrics()
    orders = [cls for border in (WorkerOrder, AdminOrder, DiscoveryOrder) for cls in border.KINDS.values()]
    for cls in (WorkerArguments, AdminArguments, DiscoveryArguments, *orders):
        codec.compile_reader(cls)


async def _wait() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)
        with trio.move_on_after(0):
            await trio.sleep(1)
