"""Requests to the admin address, with the standard library: each has a deadline, and a failure gives one clear line."""

from __future__ import annotations

import json
from concurrent.futures import Future
from http.client import HTTPConnection, HTTPException
from threading import Thread

from attrs import frozen

from splicer.config.scalars import printable
from splicer.model import authority
from splicer.ops.answer import JsonObject
from splicer.ops.failure import AdminFailed, Refused

_REQUEST_TIMEOUT = 15.0  # seconds; a drain is answered only when all workers follow it


@frozen
class Client:
    """A client of one admin address.

    Args:
        host: an IP address, without brackets, or a name.
        port: the TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)

    # A socket's timeout starts anew with each byte, and a name lookup has none. So the request runs in a thread, which
    # is abandoned if it takes too long.
    def ask(
        self, method: str, target: str, body: JsonObject | None = None, *, seconds: float = _REQUEST_TIMEOUT
    ) -> JsonObject:
        """Send a request and return the answer.

        Args:
            method: the request's method.
            target: path and query, percent-encoded.
            body: sent as JSON.
            seconds: the time for the whole request.

        Raises:
            Refused: the answer is an error.
            AdminFailed: there was no answer, or not in time, or it is not a splicer's.
        """
        outcome: Future[tuple[int, bytes]] = Future()
        Thread(target=self._exchange, args=(outcome, method, target, body, seconds), daemon=True).start()
        try:
            status, raw = outcome.result(seconds)
        except (OSError, HTTPException) as error:
            raise self.failure(error, seconds) from error
        return self.understood(status, raw)

    def failure(self, error: OSError | HTTPException, seconds: float) -> AdminFailed:
        """What an operator is told.

        Args:
            error: by what a request failed.
            seconds: the time that it had.
        """
        match error:
            case TimeoutError():
                return AdminFailed(f"{self}: no answer within {seconds:g} s")
            case ConnectionRefusedError():
                return AdminFailed(f"{self}: connection refused; does splicer run there?")
            case OSError():
                return AdminFailed(f"{self}: {error.strerror or error}")
        return AdminFailed(f"{self}: the answer is broken HTTP ({type(error).__name__})")

    def _exchange(
        self, outcome: Future[tuple[int, bytes]], method: str, target: str, body: JsonObject | None, seconds: float
    ) -> None:
        connection = HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            connection.connect()
            data = None if body is None else json.dumps(body).encode()
            typed = {} if data is None else {"Content-Type": "application/json"}
            connection.request(method, target, data, own_headers(connection) | typed)
            response = connection.getresponse()
            outcome.set_result((response.status, response.read()))
        except Exception as error:  # noqa: BLE001 - the waiting thread reports it
            outcome.set_exception(error)
        finally:
            connection.close()

    def understood(self, status: int, raw: bytes) -> JsonObject:
        """The object of an answer.

        Raises:
            Refused: the answer is an error.
            AdminFailed: it is not a splicer's.
        """
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise AdminFailed(f"{self}: status {status} without a JSON object: is this the admin address of a splicer?")
        if status != 200:
            raise Refused(f"{self}: {printable(str(answer.get('error', f'status {status}')))}")
        return answer


# Against DNS rebinding, the admin address refuses Host names that may not be its own. So Host is the IP address to
# which this is connected.
def own_headers(connection: HTTPConnection) -> dict[str, str]:
    """The fields that a request over this connection needs.

    Args:
        connection: is connected.
    """
    return {"Host": authority(connection.sock.getpeername()[0], connection.port), "Connection": "close"}
