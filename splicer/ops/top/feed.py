"""Reads /events in a thread, for ever: after a failure it tries again."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Event, Lock, Thread
from urllib.parse import urlencode

from splicer.ops.client import Client, own_headers
from splicer.ops.failure import AdminFailed
from splicer.ops.top.news import Calls, Lost, News, State
from splicer.ops.top.sse import EventReader

MOST_CALLS = 1000  # what the admin address gives at most
_SILENCE = 10.0  # seconds; a state comes every second
_RETRY_INTERVAL = 1.0  # seconds between two tries
_READ_BYTES = 1 << 16
_ERROR_BYTES = 1 << 16
_KINDS = ("state", "tunnels")


class Feed:
    """The stream.

    Args:
        client: the admin address.
        tell: called from the thread with what is new.
        sort: the order in which the calls are cut to `MOST_CALLS`.
    """

    def __init__(self, client: Client, tell: Callable[[News], None], sort: str) -> None:
        self._client = client
        self._tell = tell
        self._sort = sort
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._reopened = False  # the stream ends because another one is wanted
        self._closed = Event()
        Thread(target=self._run, daemon=True).start()

    def follow(self, sort: str) -> None:
        """Open the stream anew with another order."""
        with self._lock:
            self._sort, self._reopened = sort, True
            self._hang_up()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        with self._lock:
            self._hang_up()

    # A thread that waits in recv(2) is woken by shutdown(2) alone.
    def _hang_up(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                for news in self._stream():
                    self._tell(news)
                failure = AdminFailed(f"{self._client}: the stream has ended")
            except (OSError, HTTPException) as error:
                failure = self._client.failure(error, _SILENCE)
            except AdminFailed as error:
                failure = error
            if self._at_once():
                continue
            self._tell(Lost(failure))
            self._closed.wait(_RETRY_INTERVAL)

    def _at_once(self) -> bool:
        with self._lock:
            wanted, self._reopened = self._reopened, False
            return wanted

    def _stream(self) -> Iterator[News]:
        connection = HTTPConnection(self._client.host, self._client.port, timeout=_SILENCE)
        try:
            connection.connect()
            with self._lock:
                self._socket, self._reopened, sort = connection.sock, False, self._sort
            if self._closed.is_set():
                return
            target = "/events?" + urlencode({"tunnels": MOST_CALLS, "sort": sort})
            connection.request("GET", target, headers=own_headers(connection))
            with connection.getresponse() as response:
                yield from self._events(response)
        finally:
            with self._lock:
                self._socket = None
            connection.close()

    def _events(self, response: HTTPResponse) -> Iterator[News]:
        if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
            self._client.understood(response.status, response.read(_ERROR_BYTES))
            raise AdminFailed(f"{self._client}: there are no events: is this the admin address of a splicer?")
        reader = EventReader()
        while data := response.read1(_READ_BYTES):
            yield from self._read(reader, data)

    def _read(self, reader: EventReader, data: bytes) -> Iterator[News]:
        try:
            values = [(event.kind, json.loads(event.data)) for event in reader.feed(data) if event.kind in _KINDS]
        except (ValueError, RecursionError) as error:
            raise AdminFailed(f"{self._client}: an event is broken: is this the admin address of a splicer?") from error
        for kind, value in values:
            if isinstance(value, dict):
                yield State(value) if kind == "state" else Calls(value)
