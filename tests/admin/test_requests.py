from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.admin.conftest import Admin
from tests.kit.driven import TIMEOUT

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nok\n"


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return data


def _answer(admin: Admin, request: bytes) -> bytes:
    """All that comes until the connection is closed."""
    with admin.connect() as sock:
        sock.sendall(request)
        return _exactly(sock, 1 << 20)


def test_healthz(shared: Admin) -> None:
    answer, body = shared.ask("GET", "/healthz")
    assert (answer.status, body) == (200, b"ok\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_other_paths_are_not_found(shared: Admin) -> None:
    for target in ("/metric", "/status/", "/healthz/x", "/STATUS", "/tunnels/", "/tunnels/a/b"):
        answer, body = shared.ask("GET", target)
        assert answer.status == 404, target
        assert json.loads(body)["error"].startswith(f"there is no {target} here, but /healthz, /metrics, /status, ")
        assert answer.headers["Content-Type"] == "application/json"


def test_a_query_is_no_part_of_the_path(shared: Admin) -> None:
    assert shared.ask("GET", "/healthz?")[1] == b"ok\n"
    assert json.loads(shared.ask("GET", "/tunnels?pod=")[1])["tunnels"] == []


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("/healthz?verbose", "unknown parameter 'verbose'; known are: none"),
        ("/tunnels?pod=a&colour=red&b=", "unknown parameter 'colour', 'b'; known are: pod, route"),
        ("/tunnels?pod=a&pod=b", "pod is there 2 times"),
        ("/tunnels?pod=%ff", "the query can't be read: 'utf-8' codec can't decode byte 0xff"),
        ("/tunnels?" + "a&" * 300, "the query can't be read: Max number of fields exceeded"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(shared: Admin, target: str, error: str) -> None:
    answer, body = shared.ask("GET", target)
    assert answer.status == 400
    assert json.loads(body)["error"].startswith(error)


def test_head_is_get_without_the_body(shared: Admin) -> None:
    with shared.connect() as sock:
        sock.sendall(ASK.replace(b"GET", b"HEAD") + ASK)
        without = OK.removesuffix(b"ok\n")
        assert _exactly(sock, len(without + OK)) == without + OK
    answer = _answer(shared, b"HEAD /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW", "TRACE"])
@pytest.mark.parametrize(
    ("path", "allow"), [("/status", "GET, HEAD"), ("/tunnels/a", "DELETE"), ("/drain", "GET, HEAD, POST, DELETE")]
)
def test_other_methods_are_not_allowed(shared: Admin, method: str, path: str, allow: str) -> None:
    if method in allow:
        return
    answer, body = shared.ask(method, path)
    assert (answer.status, json.loads(body)) == (405, {"error": f"allowed are: {allow}"})
    assert answer.headers["Allow"] == allow


def test_a_connection_serves_many_requests(shared: Admin) -> None:
    connection = HTTPConnection(*shared.address, timeout=TIMEOUT)
    connection.connect()
    sock = connection.sock
    for method, path, status in [("GET", "/healthz", 200), ("HEAD", "/x", 404), ("DELETE", "/status", 405)] * 3:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    assert connection.sock is sock  # http.client would have opened another
    connection.close()


def test_pipelined_requests_are_answered_in_order(shared: Admin) -> None:
    with shared.connect() as sock:
        sock.sendall(ASK * 100)
        assert _exactly(sock, 100 * len(OK)) == OK * 100


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
    ],
)
def test_it_closes_when_that_is_what_the_client_wants(shared: Admin, request_head: bytes) -> None:
    head, _, body = _answer(shared, request_head).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close" in head
    assert body == b"ok\n"


# The body is a request of its own to whoever thinks that a GET has none.
@pytest.mark.parametrize("framing", [b"Content-Length: 43", b"Transfer-Encoding: chunked"])
def test_a_body_is_refused_and_never_read_as_a_request(shared: Admin, framing: bytes) -> None:
    smuggled = _answer(shared, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + ASK)
    assert smuggled.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in smuggled
    assert smuggled.count(b"HTTP/1.1") == 1


# RFC 9112 §9.6: a reset would take the answer away from a client that looks for it only when all is sent.
def test_who_still_sends_a_refused_body_is_not_reset(shared: Admin) -> None:
    with shared.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6553600\r\n\r\n")
        assert _exactly(sock, 1 << 20).startswith(b"HTTP/1.1 413 ")
        for _ in range(100):
            sock.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET /../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 16384 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_proper_request_is_refused_and_the_connection_closed(
    shared: Admin, head: bytes, status: int
) -> None:
    answer = _answer(shared, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer
    if status == 405:
        assert b"\r\nAllow: GET, HEAD, DELETE, POST\r\n" in answer
    assert shared.ask("GET", "/healthz")[1] == b"ok\n"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9901", "10.1.2.3", "[::1]", "[::1]:9901", "localhost", "LocalHost:80", "localhost."],
)
def test_addresses_and_localhost_are_served(shared: Admin, host: str) -> None:
    assert shared.ask("GET", "/status", Host=host)[0].status == 200


def test_the_machines_own_name_is_served(shared: Admin) -> None:
    assert shared.ask("GET", "/status", Host=f"{socket.gethostname()}:9901")[0].status == 200


@pytest.mark.parametrize(
    "host", ["rebind.example", "127.0.0.1.rebind.example:9901", "localhost.example", "127.1", "2130706433", "1.2.3.4.5"]
)
@pytest.mark.parametrize("path", ["/healthz", "/nothing"])
def test_a_name_that_others_can_give_is_refused(shared: Admin, host: str, path: str) -> None:
    answer, body = shared.ask("GET", path, Host=host)
    error = f"the Host {host!r} is neither an address nor this machine's own name"
    assert (answer.status, json.loads(body)) == (403, {"error": error})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Origin": "http://127.0.0.1:9901", "X-Splicer": "1"}, 400),
        ({"Origin": "http://127.0.0.1:9901"}, 403),
        ({"Origin": "HTTP://127.0.0.1:9901", "Sec-Fetch-Site": "same-origin", "X-Splicer": "1"}, 400),
        ({"Origin": "https://127.0.0.1:9901", "X-Splicer": "1"}, 400),
        ({"Sec-Fetch-Site": "none"}, 400),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:80"}, 403),
        ({"Origin": "http://127.0.0.1:9901.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:9901", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_no_page_of_another_site_can_change_anything(shared: Admin, headers: dict[str, Any], status: int) -> None:
    for method in ("POST", "DELETE"):
        assert shared.ask(method, "/drain?x", Host="127.0.0.1:9901", **headers)[0].status == status
    assert shared.ask("DELETE", "/tunnels/a?x", Host="127.0.0.1:9901", **headers)[0].status == status
    for method in ("GET", "HEAD"):
        assert shared.ask(method, "/drain", Host="127.0.0.1:9901", **headers)[0].status == 200


def test_an_absolute_target_is_judged_by_its_own_host(shared: Admin) -> None:
    for host, status in ((b"rebind.example", b"403"), (b"localhost", b"200")):
        answer = _answer(
            shared, b"GET http://%s/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % host
        )
        assert answer.split(b" ")[1] == status


def test_a_request_of_http_1_0_without_host_is_refused(shared: Admin) -> None:
    assert _answer(shared, b"GET /status HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_at_most_64_connections(serving: Admin) -> None:
    with ExitStack() as stack:
        socks = [stack.enter_context(serving.connect()) for _ in range(64)]
        for sock in socks:
            sock.sendall(ASK)
            assert _exactly(sock, len(OK)) == OK
        for sock in socks[:3]:  # the one that is silent for longest makes room
            other = stack.enter_context(serving.connect())
            other.sendall(ASK)
            assert _exactly(other, len(OK)) == OK
            assert sock.recv(1) == b""
        for sock in socks[5:]:
            sock.sendall(ASK)
            assert _exactly(sock, len(OK)) == OK


def test_a_client_that_resets_harms_nobody(shared: Admin) -> None:
    for begun in (b"", b"GET /heal", ASK, ASK * 1000):
        sock = shared.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(begun)
        sock.close()
    assert shared.ask("GET", "/healthz")[1] == b"ok\n"
