"""An HTTP server in a thread of the bench, kept off the processors of what is measured."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Keeps connections, and says nothing of its requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def served(handler: type[Handler], cpus: Collection[int]) -> Iterator[str]:
    """The URL, without a path, of a server that is there within the block.

    Args:
        handler: answers requests.
        cpus: the processors for its threads.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True

        def serve() -> None:
            os.sched_setaffinity(0, cpus)  # of this thread, and of those that it starts
            server.serve_forever()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
