"""Answers of the proxy's own, by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from splicer import errors, limit_errors
from splicer.authorization import AuthorizeDenied
from splicer.hook_settings import HookAnswered
from splicer.model import Respond, StatusPage
from splicer.session.context import ConnectionState, StubStatus
from splicer.session.respond import answer_of, refusal, stub_status


def everything() -> Iterator[type[errors.SplicerError]]:
    """All kinds that this process has loaded. The processes of a test run differ in that while they collect tests."""
    left = [errors.SplicerError]
    while left:
        left += (each := left.pop()).__subclasses__()
        if each.__module__.startswith("splicer."):
            yield each


# The first is not told, the second is another server's answer, the third a hook's.
OTHERS = (errors.ClientGone, AuthorizeDenied, HookAnswered)
ARGUMENTS: dict[type[errors.SplicerError], object] = {
    errors.MethodNotAllowed: ("GET", "PUT"),
    errors.UpgradeRequired: ("websocket", "tcp"),
    errors.UnwantedStatus: 503,
    errors.ConfigError: ("fault",),
    limit_errors.RateLimited: 0.5,
}


def test_every_error_can_be_told_to_a_client() -> None:
    kinds = [kind for kind in everything() if kind not in OTHERS]
    assert len(kinds) > 50
    for kind in kinds:
        _told(kind)


def _told(kind: type[errors.SplicerError]) -> None:
    error = kind(ARGUMENTS.get(kind, "detail that is for the log"))
    raw = refusal(error, error.status)
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {error.status} ")
    assert f"Content-Length: {len(body)}" in lines
    assert body == lines[0].removeprefix("HTTP/1.1 ").encode() + b"\n"
    assert b"detail" not in raw
    assert ("Retry-After: 1" in lines) is (error.status in {429, 503})
    assert ("Allow: GET, PUT" in lines) is (error.status == 405)
    assert lines[-1] == "Connection: close"


def test_a_refusal_may_leave_the_connection_open_and_have_no_body() -> None:
    open_one = refusal(errors.NotFound(""), 404, close=False)
    assert b"Connection" not in open_one
    assert refusal(errors.NotFound(""), 404, close=False, head_only=True) == open_one[: -len(b"404 Not Found\n")]


def test_an_authorizers_refusal_is_its_own_answer() -> None:
    denied = AuthorizeDenied(401, b"Who", ((b"WWW-Authenticate", b"Basic"), (b"Content-Length", b"9")), b"hello")
    assert (denied.status, AuthorizeDenied.status) == (401, 403)
    assert refusal(denied, denied.status) == (
        b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )


def test_an_upgrade_is_named_as_an_option_of_the_connection() -> None:
    """RFC 9110 §7.8."""
    for error in (errors.UpgradeRequired(("tcp",)), errors.BadWebSocketVersion("")):
        assert b"\r\nConnection: Upgrade\r\nUpgrade: " in refusal(error, 426)


def test_the_stub_status_page() -> None:
    assert stub_status(StubStatus(291, 290, 560, 6, 179, 106)) == (
        "Active connections: 291 \n"
        "server accepts handled requests\n"
        " 291 290 560 \n"
        "Reading: 6 Writing: 179 Waiting: 106 \n"
    )


@pytest.mark.parametrize(
    ("respond", "calm", "draining", "unprotected", "both"),
    [
        (Respond(200), 200, 200, 200, 200),
        (Respond(200, draining=Respond(503)), 200, 503, 200, 503),
        (Respond(200, unprotected=Respond(204)), 200, 200, 204, 204),
        (Respond(200, draining=Respond(503), unprotected=Respond(204)), 200, 503, 204, 503),
        (StatusPage.STUB_STATUS, 200, 200, 200, 200),
    ],
)
def test_what_a_route_says_in_a_drain_and_without_a_vault(
    respond: Respond | StatusPage, calm: int, draining: int, unprotected: int, both: int
) -> None:
    answers = [
        answer_of(respond, StubStatus(), draining=drained, protected=protected).status
        for protected in (True, False)
        for drained in (False, True)
    ]
    assert answers == [calm, draining, unprotected, both]


def test_counts_move() -> None:
    counts = StubStatus()
    place = counts.enter(ConnectionState.READING)
    assert (counts.reading, counts.active) == (1, 1)
    place = counts.move(place, ConnectionState.WAITING)
    assert (counts.reading, counts.waiting, counts.active) == (0, 1, 1)
    counts.leave(place)
    assert counts.active == 0
