"""How a connection ends: in a drain, by its client, by a crash, and when the worker stops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.model import Respond
from splicer.routing.table import RouteTable
from tests.kit.http import read_request
from tests.session.edge import APP, HEALTH, Edge, Script, answering, route
from tests.session.message import GET, OK, POST, PUT, answer, get, read_answer
from tests.session.pods import silent
from tests.session.wire import Peer

READY = route("path", "/ready", respond=Respond(200, b"ready\n", draining=Respond(503, b"draining\n")))


async def test_a_drain_refuses_what_is_new(edge: Edge) -> None:
    edge.use(HEALTH, READY, route())
    edge.pods[APP] = answering(OK)
    edge.context.draining = True
    for raw in (GET, POST, GET.replace(b"GET", b"HEAD")):
        client = await edge.ask(raw)
        told = await read_answer(client, raw.split(b" ")[0].decode())
        assert (told.status, told.get("Connection")) == (503, "close")
        assert told.get("Retry-After")
        assert await client.rest() == b""
    assert edge.dialled == []
    assert edge.told.ended[0].close_reason == "draining"


async def test_a_drain_is_told_by_who_is_asked(edge: Edge) -> None:
    edge.use(HEALTH, READY)
    client = await edge.ask(get("/ready") + get("/health"))
    for body in (b"ready\n", b"healthy\n"):
        told = await read_answer(client)
        assert (told.status, told.body, told.get("Connection")) == (200, body, None)
    edge.context.draining = True
    for path, status, body in (("/ready", 503, b"draining\n"), ("/health", 200, b"healthy\n")):
        client = await edge.ask(get(path))
        told = await read_answer(client)
        assert (told.status, told.body, told.get("Connection")) == (status, body, "close")


async def test_a_probe_hears_whether_calls_are_protected(edge: Edge) -> None:
    vault = SimpleNamespace(connected=True)
    edge.context.vault = cast("Any", vault)
    edge.use(route("path", "/ready", respond=Respond(200, b"ready", unprotected=Respond(200, b"unprotected"))))
    client = await edge.ask(get("/ready"))
    assert (await read_answer(client)).body == b"ready"
    vault.connected = False
    await client.send(get("/ready"))
    assert (await read_answer(client)).body == b"unprotected"


async def test_what_is_under_way_is_finished_in_a_drain(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await read_request(pod)
        await trio.sleep(5)
        await pod.send(OK)

    edge.pods[APP] = slow
    client = await edge.ask(GET)
    await trio.sleep(1)
    edge.context.draining = True
    told = await read_answer(client)
    assert (told.status, told.get("Connection")) == (200, "close")
    assert await client.rest() == b""


async def test_an_idle_connection_is_refused_its_next_request_in_a_drain(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    edge.context.draining = True
    await client.send(GET)
    assert (await read_answer(client)).status == 503


@pytest.mark.parametrize(("sent", "told"), [(b"", 0), (b"\r\n", 0), (b"GET / HT", 1)])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_before_it_has_asked(edge: Edge, sent: bytes, told: int, how: str) -> None:
    client = await edge.ask(sent)
    await wait_all_tasks_blocked()
    getattr(client.end, how)()
    await edge.idle()
    assert len(edge.told.ended) == told
    if told:
        assert (edge.record.status, edge.record.closer, edge.record.close_reason) == (499, "client", "client_gone")
    assert edge.streams[0].ended == "close"


async def test_a_crash_ends_its_connection_alone_and_is_told_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RouteTable.match

    def match(self: RouteTable, method: str, host: str, path: str, *more: Any) -> object:
        if path == "/crash":
            raise ZeroDivisionError
        return original(self, method, host, path, *more)

    monkeypatch.setattr(RouteTable, "match", match)
    edge.expect_crash = True
    edge.pods[APP] = answering(OK)
    other = edge.connect()
    client = await edge.ask(get("/crash"))
    assert await client.rest() == b""
    [(address, record, error)] = edge.told.crashes
    assert (address, type(error), edge.told.ended) == ("192.0.2.7", ZeroDivisionError, [])
    assert record is not None
    assert (len(record.id), record.path) == (16, "/crash")
    await other.send(GET)
    assert (await read_answer(other)).status == 200


async def test_a_crash_beside_an_exchange_is_told_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("splicer.session.body.RequestBody._keep", crash)
    edge.expect_crash = True
    edge.pods[APP] = answering(OK)
    client = await edge.ask(PUT)
    await client.was_reset()
    [(_, record, error)] = edge.told.crashes
    assert isinstance(error, ExceptionGroup)
    assert record is not None
    assert (record.path, edge.told.ended) == ("/x", [])
    assert [stream.ended for stream in edge.streams] == ["close", "close"]


async def beginning(pod: Peer) -> None:
    await read_request(pod)
    await pod.send(answer(b"0123456789")[:-5])


@pytest.mark.parametrize("pod", [silent, beginning])
@pytest.mark.parametrize("raw", [GET, POST, POST[:-2]], ids=["none", "body", "half a body"])
async def test_stopping_cuts_what_is_under_way_and_tells_of_it(edge: Edge, raw: bytes, pod: Script) -> None:
    edge.pods[APP] = pod
    client = await edge.ask(raw)
    await trio.sleep(1)
    edge.stop()
    await client.rest()
    assert (edge.record.closer, edge.record.close_reason) == ("proxy", "shutdown")
    assert edge.record.status == (200 if pod is beginning and raw != POST[:-2] else None)
    assert [stream.ended for stream in edge.streams] == ["close", "close"]


async def test_stopping_resets_an_http_10_client_in_an_answer_that_ends_with_its_connection(edge: Edge) -> None:
    edge.pods[APP] = answering(b"HTTP/1.0 200 OK\r\n\r\n01234")
    client = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
    await trio.sleep(1)
    edge.stop()
    assert await client.was_reset()


@pytest.mark.parametrize(("sent", "told"), [(b"", 0), (b"GET / HT", 1)])
async def test_stopping_tells_nothing_of_who_has_not_asked(edge: Edge, sent: bytes, told: int) -> None:
    client = await edge.ask(sent)
    await wait_all_tasks_blocked()
    edge.stop()
    await client.rest()
    assert len(edge.told.ended) == told


async def test_stopping_tells_nothing_of_an_idle_connection(edge: Edge) -> None:
    edge.pods[APP] = answering(OK)
    client = await edge.ask(GET)
    await read_answer(client)
    edge.stop()
    assert await client.rest() == b""
    assert edge.record.close_reason == "complete"


async def test_stopping_changes_nothing_that_is_over(edge: Edge) -> None:
    client = await edge.ask(b"\x00")
    await read_answer(client)  # and now the edge lingers
    edge.stop()
    assert await client.rest() == b""
    assert edge.record.close_reason == "bad_request"
