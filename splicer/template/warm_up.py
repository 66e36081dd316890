"""Work that each process would do once in its life: it is done before the first fork, so that all share the result.

The readers of a configuration's tables and of messages are compiled when they are first used.
"""

from __future__ import annotations

from splicer.config.load import load
from splicer.ipc import codec
from splicer.ipc.arguments import AdminArguments, DiscoveryArguments, WorkerArguments
from splicer.ipc.messages import AdminOrder, DiscoveryOrder, WorkerOrder

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


def warm_up() -> None:
    """Use once what every process uses."""
    load(_CONFIG, name="routing.toml", environ={})
    orders = [cls for border in (WorkerOrder, AdminOrder, DiscoveryOrder) for cls in border.KINDS.values()]
    for cls in (WorkerArguments, AdminArguments, DiscoveryArguments, *orders):
        codec.compile_reader(cls)
