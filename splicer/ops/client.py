"""Questions to the admin address: HTTP by the standard library, a deadline over each, one clear line for a failure."""

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

_REQUEST_TIMEOUT = 15.0  # an order waits until all workers go by it


@frozen
class Client:
    """Asks one admin address.

    Args:
        host: an IP address, without brackets, or a name.
        port: the TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)

    # A socket's own timeout starts anew with each byte, and a name's lookup has none: so this waits for a thread, which
    # may be left behind.
    def ask(
        self, method: str, target: str, body: JsonObject | None = None, *, seconds: float = _REQUEST_TIMEOUT
    ) -> JsonObject:
        """What it answers.

        Args:
            method: of the request.
            target: path and query, percent-encoded.
            body: goes along as JSON.
            seconds: that all of this may take.

        Raises:
            Refused: it answered with an error.
            AdminFailed: nobody answered, or not in time, or somebody else than a splicer.
        """
        outcome: Future[tuple[int, bytes]] = Future()
        Thread(target=self._exchange, args=(outcome, method, target, body, seconds), daemon=True).start()
        try:
            status, raw = outcome.result(seconds)
        except TimeoutError:
            raise AdminFailed(f"{self}: no answer within {seconds:g} s") from None
        except ConnectionRefusedError:
            raise AdminFailed(f"{self}: connection refused; does splicer run there?") from None
        except OSError as error:
            raise AdminFailed(f"{self}: {error.strerror or error}") from error
        except HTTPException as error:
            raise AdminFailed(f"{self}: the answer is broken HTTP ({type(error).__name__})") from error
        return self._understood(status, raw)

    def _exchange(
        self, outcome: Future[tuple[int, bytes]], method: str, target: str, body: JsonObject | None, seconds: float
    ) -> None:
        connection = HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            connection.connect()
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, target, data, self._headers(connection, data))
            response = connection.getresponse()
            outcome.set_result((response.status, response.read()))
        except Exception as error:  # noqa: BLE001 - the thread that waits tells it
            outcome.set_exception(error)
        finally:
            connection.close()

    # The admin address refuses names that it can't know to be its own, against DNS rebinding: so it is called by the
    # address at which it was reached.
    def _headers(self, connection: HTTPConnection, data: bytes | None) -> dict[str, str]:
        headers = {"Host": authority(connection.sock.getpeername()[0], self.port), "Connection": "close"}
        return headers if data is None else headers | {"Content-Type": "application/json"}

    def _understood(self, status: int, raw: bytes) -> JsonObject:
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise AdminFailed(f"{self}: status {status} without a JSON object: is this the admin address of a splicer?")
        if status != 200:
            raise Refused(f"{self}: {printable(str(answer.get('error', f'status {status}')))}")
        return answer
