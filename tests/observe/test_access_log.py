"""What the access log says, to the letter and at its longest."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from splicer.arrival import Arrival
from splicer.authorization import AuthorizeOutcome
from splicer.errors import Side, TooManyConnections
from splicer.hello_errors import UnknownName
from splicer.model import Endpoint
from splicer.observe.access_log import AccessLog
from splicer.observe.log import make_logger
from splicer.proxyproto.errors import HeaderMalformed, HeaderMissing
from splicer.quality import Quality
from splicer.record import AttemptOutcome, Record
from splicer.trace import RequestTrace
from tests.observe.still import still
from tests.observe.test_log import LONGEST, Lines
from tests.relay.harness import Edge

EXCHANGE = Record(
    id="0123456789abcdef",
    client="192.0.2.7",
    started=1.0,
    method="PUT",
    path="/a/%20x",
    query="token=secret",
    host="edge.test:80",
    route="things",
    request_id="0123456789abcdef",
    upstream="spare",
    target="spare.test:8000/b/%20x",
    endpoint=Endpoint("spare.test", "10.0.0.2", 8000),
    status=201,
    attempts=[
        AttemptOutcome("app", "10.0.0.1:8000", "connect_refused", "refused", connect=0.0005),
        AttemptOutcome("spare", "10.0.0.2:8000", resolve=0.001, connect=0.002, handshake=1.5),
    ],
    to_pod=3,
    to_client=5,
    closer=Side.POD,
    close_reason="complete",
)


def told(what: str, *arguments: Any, query: bool = False, now: float = 3.25) -> list[dict[str, Any]]:
    """The lines that one call leaves at a time."""
    lines = Lines()

    async def main() -> None:
        clock.jump(now)
        getattr(AccessLog(make_logger(lines, "json"), query), what)(*arguments)  # type: ignore[arg-type]  # see Lines

    clock = MockClock()
    trio.run(main, clock=clock)
    assert all(len(line.encode("utf-8", "replace")) < LONGEST for line in lines.lines)
    return [json.loads(line) for line in lines.lines]


def test_an_exchange_is_one_line_with_all_there_is_to_know() -> None:
    [line] = told("exchange_ended", EXCHANGE)
    assert line.pop("time")
    assert line == {
        "event": "exchange",
        "level": "info",
        "id": "0123456789abcdef",
        "route": "things",
        "client": "192.0.2.7",
        "method": "PUT",
        "host": "edge.test:80",
        "path": "/a/%20x",
        "status": 201,
        "upstream": "spare",
        "target": "spare.test:8000/b/%20x",
        "pod": "spare.test",
        "endpoint": "10.0.0.2:8000",
        "attempts": [
            {"upstream": "app", "endpoint": "10.0.0.1:8000", "failure": "connect_refused", "detail": "refused"},
            {"upstream": "spare", "endpoint": "10.0.0.2:8000", "failure": None},
        ],
        "resolve_ms": 1.0,
        "connect_ms": 2.5,
        "handshake_ms": 1500.0,
        "bytes_to_pod": 3,
        "bytes_to_client": 5,
        "duration_ms": 2250.0,
        "closed_by": "pod",
        "reason": "complete",
    }


@given(st.floats(0, 1e6) | st.integers(0, 10**9).map(lambda count: count / 10**7))
def test_durations_have_three_places_at_most(seconds: float) -> None:
    lines = Lines()
    record = evolve(EXCHANGE, attempts=[AttemptOutcome("app", connect=seconds)])
    AccessLog(make_logger(lines, "json")).tunnel_opened(record)  # type: ignore[arg-type]  # see Lines
    assert f'"connect_ms": {round(seconds * 1000, 3)}, ' in lines.lines[0]


@pytest.mark.parametrize("what", ["tunnel_opened", "tunnel_closed", "exchange_ended"])
def test_a_query_string_is_told_only_if_asked_for(what: str) -> None:
    [line] = told(what, EXCHANGE)
    assert "secret" not in json.dumps(line)
    [line] = told(what, EXCHANGE, query=True)
    assert line["query"] == "token=secret"


@pytest.mark.parametrize("what", ["tunnel_opened", "tunnel_closed", "exchange_ended"])
def test_headers_are_fields_of_their_own(what: str) -> None:
    record = evolve(EXCHANGE, headers=(("header_user_agent", 'a "b"\n'), ("header_x_call_id", "7")))
    [line] = told(what, record)
    assert (line["header_user_agent"], line["header_x_call_id"]) == ('a "b"\n', "7")
    assert not [field for field in told(what, EXCHANGE)[0] if field.startswith("header_")]


@pytest.mark.parametrize("what", ["tunnel_opened", "tunnel_closed", "exchange_ended"])
@pytest.mark.parametrize("sampled", [True, False])
def test_the_ids_of_a_trace_are_told(what: str, sampled: bool) -> None:
    [line] = told(what, evolve(EXCHANGE, trace=RequestTrace("a" * 32, "b" * 16, sampled)))
    assert (line["trace_id"], line["span_id"], line["trace_sampled"]) == ("a" * 32, "b" * 16, sampled)
    assert not [field for field in told(what, EXCHANGE)[0] if field.startswith(("trace", "span"))]


def test_a_tunnel_is_two_lines() -> None:
    record = evolve(EXCHANGE, status=101, protocol="websocket", closer=None, close_reason=None)
    [opened] = told("tunnel_opened", record)
    assert (opened["event"], opened["status"], opened["protocol"]) == ("tunnel_open", 101, "websocket")
    assert not {"closed_by", "reason", "duration_ms", "bytes_to_pod", "adopted"} & opened.keys()
    record = evolve(record, closer=Side.PROXY, close_reason="idle")
    [closed] = told("tunnel_closed", record)
    assert closed["adopted"] == 0
    assert (closed["event"], closed["closed_by"], closed["reason"]) == ("tunnel_close", "proxy", "idle")
    for key in ("id", "route", "pod", "endpoint", "attempts"):
        assert opened[key] == closed[key]


def test_a_tunnels_last_line_tells_how_often_it_has_changed_its_worker() -> None:
    [closed] = told("tunnel_closed", evolve(EXCHANGE, adopted=3))
    assert closed["adopted"] == 3
    [ended] = told("exchange_ended", EXCHANGE)
    assert "adopted" not in ended, "an exchange never does"


def test_a_question_to_an_authorizer_is_told() -> None:
    names = {"authorize_endpoint", "authorize_status", "authorize_ms", "authorize_failure", "authorize_detail"}
    [line] = told("exchange_ended", EXCHANGE)
    assert not names & line.keys()
    asked = AuthorizeOutcome("10.0.0.9:80", 200, None, seconds=0.0125)
    for what in ("exchange_ended", "tunnel_opened", "tunnel_closed"):
        [line] = told(what, evolve(EXCHANGE, authorize=asked))
        assert {name: line[name] for name in names & line.keys()} == {
            "authorize_endpoint": "10.0.0.9:80",
            "authorize_status": 200,
            "authorize_ms": 12.5,
        }
    failed = evolve(asked, endpoint=None, status=None, failure="authorize_deadline", detail="auth: " + "x" * 1000)
    [line] = told("exchange_ended", evolve(EXCHANGE, upstream=None, authorize=failed))
    assert (line["authorize_endpoint"], line["authorize_status"]) == (None, None)
    assert (line["authorize_failure"], line["authorize_detail"]) == ("authorize_deadline", "auth: " + "x" * 194)


def test_what_has_no_pod_names_none() -> None:
    [line] = told("exchange_ended", Record("0123456789abcdef", "192.0.2.7", 1.0, status=400, detail="no request line"))
    assert line["detail"] == "no request line"
    assert not {"upstream", "target", "pod", "attempts", "resolve_ms"} & line.keys()


def test_another_request_id_is_told() -> None:
    assert "request_id" not in told("exchange_ended", EXCHANGE)[0]
    assert told("exchange_ended", evolve(EXCHANGE, request_id="theirs"))[0]["request_id"] == "theirs"


@pytest.mark.parametrize("what", ["tunnel_opened", "tunnel_closed", "exchange_ended"])
def test_a_route_may_not_be_logged(what: str) -> None:
    assert told(what, evolve(EXCHANGE, logged=False)) == []


def test_a_refused_connection() -> None:
    [line] = told("connection_refused", "192.0.2.7", TooManyConnections())
    assert (line["event"], line["level"], line["client"]) == ("connection_refused", "warning", "192.0.2.7")
    assert (line["reason"], line["status"]) == ("too_many_connections", 503)


@pytest.mark.parametrize("record", [EXCHANGE, None])
def test_a_crash_is_one_line_with_its_id(record: Record | None) -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ZeroDivisionError("x" * 5000)

    try:
        deep(200)
    except ZeroDivisionError as error:
        [line] = told("crashed", "192.0.2.7", record, error)
    assert (line["event"], line["level"], line["client"]) == ("crash", "error", "192.0.2.7")
    assert line["id"] == (record.id if record else None)
    assert line["error"].startswith("ZeroDivisionError('xxx")
    assert "xxx" in line["traceback"]


characters = st.sampled_from(['"', "\\", "ä", "\x01", "x", "\U0001f600"]) | st.characters()
nasty = st.tuples(characters, st.sampled_from([0, 1, 100, 1024, 1025, 32_000]))


@given(nasties=st.tuples(*[nasty] * 7))
def test_no_line_is_too_long_or_broken(nasties: tuple[tuple[str, int], ...]) -> None:
    path, query, host, method, target, detail, why = (character * count for character, count in nasties)
    attempts = [AttemptOutcome("u" * 60, "[2001:db8::1]:8000", "connect_refused", why) for _ in range(2)]
    record = evolve(
        EXCHANGE, path=path, query=query, host=host, method=method, target=target, detail=detail, attempts=attempts
    )
    [line] = told("exchange_ended", record, query=True)
    assert (line["id"], line["closed_by"], line["status"], len(line["attempts"])) == (record.id, "pod", 201, 2)


def test_who_passed_a_connection_on_is_told_in_each_line() -> None:
    came = Arrival("10.0.0.9", 4711, True, (("proxy_id", "a\n"), ("tls_version", "TLSv1.3")))
    record = evolve(EXCHANGE, arrival=came)
    lines = [
        *going_on(record),
        *(told(what, record)[0] for what in ("tunnel_opened", "tunnel_closed", "exchange_ended")),
    ]
    for line in lines:
        assert (line["via"], line["proxy_id"], line["tls_version"]) == ("10.0.0.9", "a\n", "TLSv1.3")
    assert not {"via", "proxy_id", "tls_version"} & told("exchange_ended", EXCHANGE)[0].keys()


def test_a_connection_without_its_header_gets_no_status() -> None:
    [line] = told("connection_refused", "10.0.0.9", HeaderMalformed("version 1: " + "x" * 1000))
    assert (line["event"], line["level"], line["client"]) == ("connection_refused", "warning", "10.0.0.9")
    assert line["reason"] == "proxy_protocol_malformed"
    assert (len(line["detail"]), "status" in line) == (200, False)


PASSED = evolve(
    EXCHANGE,
    method=None,
    path=None,
    query=None,
    protocol="tls",
    route="*.rtc.example",
    host="a.rtc.example",
    status=101,
)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("tunnel_opened", "passthrough_open"),
        ("tunnel_closed", "passthrough_close"),
        ("exchange_ended", "passthrough_close"),
    ],
)
def test_a_connection_that_is_passed_through_has_events_of_its_own(event: str, name: str) -> None:
    [line] = told(event, PASSED)
    assert (line["event"], line["route"], line["host"], line["method"]) == (
        name, "*.rtc.example", "a.rtc.example", None
    )  # fmt: skip
    assert (line["status"], line["protocol"]) == (None, "tls"), "there is no HTTP in it"


def test_an_upgrade_to_tls_is_a_call() -> None:
    [line] = told("tunnel_opened", evolve(PASSED, method="GET"))
    assert (line["event"], line["status"]) == ("tunnel_open", 101)


async def test_what_strangers_cause_is_written_now_and_then(autojump_clock: MockClock) -> None:
    output = Lines()
    log = AccessLog(make_logger(output, "json"))  # type: ignore[arg-type]  # see Lines
    for error in (UnknownName("a.example"), HeaderMissing("it begins with b'GET'")):
        for _ in range(30):
            log.connection_refused("192.0.2.7", error)
    await trio.sleep(11)
    log.connection_refused("192.0.2.7", UnknownName("a.example"))
    log.connection_refused("192.0.2.7", TooManyConnections())
    lines = [json.loads(line) for line in output.lines]
    assert [line.get("more") for line in lines] == [None] * 20 + [40, None]
    assert [line["reason"] for line in lines[-2:]] == ["tls_unknown_name", "too_many_connections"]


# ---- what TCP says, and calls that go on ----


def test_a_tunnels_last_line_tells_of_both_lines() -> None:
    [closed] = told("tunnel_closed", evolve(EXCHANGE, client_line=Quality(0.0421, 7), pod_line=Quality(0.0001234, 0)))
    assert {key: value for key, value in closed.items() if key.endswith(("_rtt_ms", "_retransmits"))} == {
        "client_rtt_ms": 42.1,
        "client_retransmits": 7,
        "pod_rtt_ms": 0.123,
        "pod_retransmits": 0,
    }


def test_where_tcp_says_nothing_the_fields_are_there_all_the_same() -> None:
    [closed] = told("tunnel_closed", EXCHANGE)
    assert closed["client_rtt_ms"] is closed["client_retransmits"] is None
    assert closed["pod_rtt_ms"] is closed["pod_retransmits"] is None
    [opened] = told("tunnel_opened", EXCHANGE)
    [ended] = told("exchange_ended", EXCHANGE)
    assert not [key for key in (*opened, *ended) if key.endswith(("_rtt_ms", "_retransmits"))]


def test_a_duration_ends_when_the_call_did_not_when_it_is_told() -> None:
    for what in ("tunnel_closed", "exchange_ended"):
        assert told(what, evolve(EXCHANGE, ended=2.5), now=60.0)[0]["duration_ms"] == 1500


def going_on(record: Record, to_pod: int = 300, to_client: int = 5000, *, query: bool = False) -> list[dict[str, Any]]:
    """The lines about a tunnel that was opened at 1, moved a byte at 3, and is told of at 3.25."""

    async def main() -> None:
        tunnel = still(record)
        tunnel.to_pod, tunnel.to_client, tunnel.last = to_pod, to_client, 3.0
        found.extend(await trio.to_thread.run_sync(partial(told, "tunnel_goes_on", tunnel, query=query)))

    found: list[dict[str, Any]] = []
    trio.run(main)
    return found


def test_a_call_that_goes_on_is_told_of() -> None:
    [line] = going_on(evolve(EXCHANGE, protocol="websocket", status=101, adopted=2))
    assert line.pop("time")
    assert line == {
        "event": "tunnel_progress",
        "level": "info",
        "id": "0123456789abcdef",
        "route": "things",
        "client": "192.0.2.7",
        "method": "PUT",
        "host": "edge.test:80",
        "path": "/a/%20x",
        "pod": "spare.test",
        "bytes_to_pod": 300,
        "bytes_to_client": 5000,
        "duration_ms": 2250.0,
        "idle_ms": 250.0,
        "adopted": 2,
        "client_rtt_ms": None,
        "client_retransmits": None,
        "pod_rtt_ms": None,
        "pod_retransmits": None,
    }


def test_a_call_that_goes_on_without_an_endpoint_has_no_pod() -> None:
    [line] = going_on(evolve(EXCHANGE, endpoint=None))
    assert line["pod"] is None


def test_a_call_that_goes_on_tells_what_it_told_before() -> None:
    assert "secret" not in json.dumps(going_on(EXCHANGE))
    assert going_on(EXCHANGE, query=True)[0]["query"] == "token=secret"
    assert going_on(evolve(EXCHANGE, logged=False)) == []


async def test_a_call_that_goes_on_tells_of_both_lines(edge: Edge) -> None:
    record = evolve(EXCHANGE, started=trio.current_time())
    call = await edge.call(owner=record)
    await call.client.send(b"hello")
    assert await call.pod.read(5) == b"hello"
    lines = Lines()
    AccessLog(make_logger(lines, "json")).tunnel_goes_on(edge.hub.views()[0])  # type: ignore[arg-type]  # see Lines
    line = json.loads(lines.lines[0])
    assert line["bytes_to_pod"] == 5
    for side in ("client", "pod"):
        assert 0 < line[f"{side}_rtt_ms"] < 10_000
        assert line[f"{side}_retransmits"] >= 0
