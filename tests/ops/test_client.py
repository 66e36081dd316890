"""Every failure of a question to the admin address is one clear line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from splicer.ops.client import Client
from splicer.ops.failure import AdminFailed, Refused
from tests.ops.admin import HOST, Admin


def fault(client: Client, kind: type[AdminFailed] = AdminFailed, seconds: float = 10.0) -> str:
    with pytest.raises(AdminFailed) as failed:
        client.ask("GET", "/status", seconds=seconds)
    assert type(failed.value) is kind
    (line,) = failed.value.faults
    assert line.isprintable()
    return line


def test_an_answer_is_its_json_object(admin: Admin, client: Client) -> None:
    assert client.ask("GET", "/status") == admin.status
    assert admin.asked == [("GET", "/status", None)]


def test_a_body_goes_along_as_json(admin: Admin, client: Client) -> None:
    client.ask("POST", "/drain", {"pod": "ü"})
    assert admin.asked == [("POST", "/drain", {"pod": "ü"})]


def test_an_address_that_has_a_name_is_called_by_its_number(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, *_: object) -> list[object]:
        assert host == "edge.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    Client("edge.example", admin.port).ask("GET", "/status")
    assert admin.hosts == [admin.address]


def test_nobody_is_there() -> None:
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        port = bound.getsockname()[1]
        assert fault(Client(HOST, port)) == f"{HOST}:{port}: connection refused; does splicer run there?"


def test_a_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert fault(Client("gone.example", 1)) == "gone.example:1: Name or service not known"


Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def talking(talk: Talk) -> Iterator[Client]:
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            talk(connection, over)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Client(HOST, listener.getsockname()[1])
        finally:
            over.set()
            thread.join()


def silence(_: socket.socket, over: threading.Event) -> None:
    over.wait()


# Each byte comes well within any time that a single read may take.
def trickle(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    while not over.wait(0.01):
        connection.sendall(b" ")


@pytest.mark.parametrize("talk", [silence, trickle])
def test_an_answer_that_does_not_come_to_an_end(talk: Talk) -> None:
    with talking(talk) as client:
        assert fault(client, seconds=0.2) == f"{client}: no answer within 0.2 s"


def test_an_answer_that_never_begins(admin: Admin, client: Client) -> None:
    admin.instead = lambda method, target: b""
    assert fault(client).startswith(f"{client}: Remote end closed connection")


@pytest.mark.parametrize("answer", [b"\x1b[2Jhello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_an_answer_that_is_no_http(admin: Admin, client: Client, answer: bytes) -> None:
    admin.instead = lambda method, target: answer
    assert fault(client).startswith(f"{client}: the answer is broken HTTP")


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("answer", [b"<html>", b"", b"[1]", b"\xff", b"1" * 5000, b"[" * 100_000])
def test_an_answer_without_a_json_object(admin: Admin, client: Client, status: int, answer: bytes) -> None:
    admin.instead = lambda method, target: (status, answer)
    line = fault(client)
    assert f"{client}: status {status} without a JSON object" in line


def test_an_error_is_told_as_it_is_but_never_obeyed(admin: Admin, client: Client) -> None:
    admin.instead = lambda method, target: (409, {"error": "a SIGTERM's drain\n\x1b[2J"})
    assert fault(client, Refused) == rf"{client}: a SIGTERM's drain\n\x1b[2J"
    admin.instead = lambda method, target: (500, {})
    assert fault(client, Refused) == f"{client}: status 500"
