"""A small admin address that answers as the real one does: GET /status, /tunnels, DELETE, and drains."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.91"
SINCE = "2026-03-01T12:00:00Z"

Answer = tuple[int, Any]


def tunnel(id: str, **other: Any) -> dict[str, Any]:  # noqa: A002 - that is what it is called everywhere
    return {
        "id": id,
        "route": "pod-websocket",
        "pod": "voice-agent-3",
        "upstream": "pod",
        "endpoint": "10.0.0.3:8000",
        "client": "198.51.100.7",
        "path": "/ws/pod/voice-agent-3/x",
        "protocol": "websocket",
        "age_s": 3725.5,
        "idle_s": 0.02,
        "bytes_to_pod": 29_800_000,
        "bytes_to_client": 999,
        "worker": 1,
        "adopted": 2,
        "client_rtt_ms": 48.25,
        "client_retransmits": 17,
        "pod_rtt_ms": None,
        "pod_retransmits": 0,
        **other,
    }


def endpoint(pod: str, address: str, **other: Any) -> dict[str, Any]:
    return {
        "pod": pod,
        "address": address,
        "port": 8000,
        "source": "dns",
        "tunnels": 12,
        "state": "down",
        "failure": "connect_refused",
        "since_s": 125.9,
        "requests": 3,
        **other,
    }


class Admin:
    """What the address knows, and what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str, Any]] = []
        self.hosts: list[str | None] = []
        self.tunnels = [tunnel("a1"), tunnel("b2", pod="voice-agent-4", worker=2)]
        self.missing: list[int] = []
        self.upstreams = [
            {
                "name": "pod",
                "max_tunnels": 40,
                "endpoints": [
                    endpoint("voice-agent-3", "10.0.0.3"),
                    endpoint("voice-agent-4", "fd00::4", state="ejected", zone="asia-south1-a", ejected_for_s=23.5),
                    endpoint("voice-agent-5", "10.0.0.5", state="not_ready", failure=None),
                ],
            },
            {"name": "any-pod", "max_tunnels": None, "endpoints": []},
        ]
        self.drains: dict[tuple[str, str], Iterator[int | None]] = {}
        self.remaining: Callable[[], Iterator[int | None]] = lambda: iter([2, 2, 1, 0])
        self.instead: Callable[[str, str], Answer | bytes | None] = lambda method, target: None
        self.status: dict[str, Any] = {
            "version": "1.2.3",
            "generation": 4,
            "uptime_s": 90061.5,
            "draining": False,
            "drains": [{"scope": "pod", "name": "voice-agent-3", "since": SINCE, "remaining": 1}],
            "remaining": 2,
            "workers": [
                {"slot": 1, "pid": 4711, "tunnels": 1, "exchanges": 0, "connections": 3, "mover": "native"},
                {"slot": 2, "tunnels": 1, "exchanges": 5, "connections": 6},
            ],
            "totals": {"accepted": 9, "handled": 9, "requests": 9, "active": 9, "tunnels": 2},
            "config": {"last_reload": {"ok": False, "at": SINCE}, "reloads": {"ok": 3, "failed": 1}},
            "restarts": 7,
        }

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def answer(self, method: str, target: str, body: Any) -> Answer:
        path, filters = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        match method, path.split("/")[1:]:
            case "GET", ["status"]:
                return 200, self.status
            case "GET", ["upstreams"]:
                return 200, {"upstreams": self.upstreams, "missing_workers": self.missing}
            case "GET", ["tunnels"]:
                found = [row for row in self.tunnels if filters.items() <= row.items()]
                return 200, {"tunnels": found, "missing_workers": self.missing}
            case "DELETE", ["tunnels", id]:
                if not any(row["id"] == id for row in self.tunnels):
                    return 404, {"error": "there is no such tunnel"}
                self.tunnels = [row for row in self.tunnels if row["id"] != id]
                return 200, {"closed": id}
            case "POST" | "DELETE", ["drain"]:
                return self._order(method, next(iter(body.items()), ("all", "")))
            case "GET", ["drain"]:
                return self._drains()
        return 404, {"error": "not found"}

    def _order(self, method: str, key: tuple[str, str]) -> Answer:
        if key[1] == "nobody":
            return 404, {"error": "nobody knows a pod \x1b[31mnobody"}
        if method == "POST":
            self.drains[key] = self.remaining()
        else:
            self.drains.pop(key, None)
        return self._drains()

    def _drains(self) -> Answer:
        found = [
            {"scope": scope, "name": name or None, "since": SINCE, "remaining": next(counts)}
            for (scope, name), counts in self.drains.items()
        ]
        return 200, {"drains": found}


@contextmanager
def serving(admin: Admin) -> Iterator[Admin]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(raw) if raw else None
            admin.asked.append((self.command, self.path, body))
            admin.hosts.append(self.headers.get("Host"))
            answer = admin.instead(self.command, self.path)
            if answer is None:
                answer = admin.answer(self.command, self.path, body)
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                self.close_connection = True
                return
            status, value = answer
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        admin.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield admin
        finally:
            server.shutdown()
            thread.join()
