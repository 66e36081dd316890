"""A drain: ordered, watched until nothing remains, lifted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat

import pytest

from splicer.ops.client import Client
from splicer.ops.commands import drain, drain_and_wait, lift
from splicer.ops.drain import Scope
from splicer.ops.failure import AdminFailed, Refused
from tests.ops.admin import SINCE, Admin, Answer

pytestmark = pytest.mark.usefixtures("_impatient")

Captured = pytest.CaptureFixture[str]
POD = Scope(pod="voice-agent-3")
SCOPES = [
    (Scope(), {}, "everything"),
    (POD, {"pod": "voice-agent-3"}, "pod voice-agent-3"),
    (Scope(route="pod-websocket"), {"route": "pod-websocket"}, "route pod-websocket"),
]


@pytest.mark.parametrize(("scope", "body", "name"), SCOPES)
def test_it_says_how_many_remain(
    admin: Admin, client: Client, capsys: Captured, scope: Scope, body: dict[str, str], name: str
) -> None:
    drain(client, scope, as_json=False)
    assert admin.asked == [("POST", "/drain", body)]
    assert capsys.readouterr() == (f"{name}: draining, 2 tunnels remain\n", "")


@pytest.mark.parametrize(("scope", "body", "name"), SCOPES)
def test_it_is_lifted(
    admin: Admin, client: Client, capsys: Captured, scope: Scope, body: dict[str, str], name: str
) -> None:
    drain(client, scope, as_json=True)
    row = {"scope": next(iter(body), "all"), "name": next(iter(body.values()), None), "since": SINCE, "remaining": 2}
    assert json.loads(capsys.readouterr().out) == {"drains": [row]}
    lift(client, scope, as_json=False)
    assert admin.asked[1:] == [("DELETE", "/drain", body)]
    assert not admin.drains
    assert capsys.readouterr() == (f"{name}: no longer drained\n", "")
    lift(client, scope, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"drains": []}


def test_only_its_own_tunnels_count(admin: Admin, client: Client, capsys: Captured) -> None:
    others = [("all", ""), ("route", "voice-agent-3"), ("pod", "voice-agent-33")]
    admin.drains = {other: repeat(7) for other in others}
    admin.remaining = lambda: iter([1])
    drain(client, POD, as_json=False)
    assert capsys.readouterr().out == "pod voice-agent-3: draining, 1 tunnel remains\n"


def test_waiting_tells_each_change_once(client: Client, capsys: Captured) -> None:
    drain_and_wait(client, POD, timeout=math.inf, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "pod voice-agent-3: draining, 2 tunnels remain",
        "pod voice-agent-3: draining, 1 tunnel remains",
        "pod voice-agent-3: draining, 0 tunnels remain",
        "pod voice-agent-3: drained",
    ]


def test_waiting_in_json_is_the_last_answer(client: Client, capsys: Captured) -> None:
    drain_and_wait(client, POD, timeout=math.inf, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["drains"]
    assert row["remaining"] == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_the_time_is_over(admin: Admin, client: Client, capsys: Captured, as_json: bool) -> None:
    admin.remaining = lambda: repeat(3)
    fault = "^pod voice-agent-3: 3 tunnels remain after 50ms; the drain goes on$"
    with pytest.raises(AdminFailed, match=fault):
        drain_and_wait(client, POD, timeout=0.05, as_json=as_json)
    assert admin.drains
    assert capsys.readouterr().out.count("\n") == 1


# The admin process is killed, and the next one serves: the drain isn't its own.
def test_a_short_absence_of_the_admin_process_is_no_end(admin: Admin, client: Client, capsys: Captured) -> None:
    absent: Iterator[Answer | bytes | None] = chain([None, b"", (503, b"busy"), b""], repeat(None))
    admin.instead = lambda method, target: next(absent)
    drain_and_wait(client, POD, timeout=math.inf, as_json=False)
    assert capsys.readouterr().out.endswith("pod voice-agent-3: drained\n")


def test_a_long_absence_is_told(admin: Admin, client: Client) -> None:
    admin.instead = lambda method, target: b"" if method == "GET" else None
    with pytest.raises(AdminFailed, match="Remote end closed"):
        drain_and_wait(client, POD, timeout=math.inf, as_json=False)


def test_somebody_else_lifts_it(admin: Admin, client: Client) -> None:
    def lifted() -> Iterator[int | None]:
        admin.drains = {}
        yield 2

    admin.remaining = lifted
    with pytest.raises(AdminFailed, match=r"^pod voice-agent-3: is not drained$"):
        drain_and_wait(client, POD, timeout=math.inf, as_json=False)


def test_an_order_that_is_not_obeyed(admin: Admin, client: Client) -> None:
    admin.instead = lambda method, target: (200, {"drains": [{"scope": "all", "name": None, "remaining": 1}]})
    for obey in (drain, partial(drain_and_wait, timeout=math.inf)):
        with pytest.raises(AdminFailed, match=r"^pod voice-agent-3: is not drained$"):
            obey(client, POD, as_json=False)


# While a worker is replaced, say: nobody has counted its tunnels, and a pod that may have some isn't free.
def test_what_is_not_known_is_waited_for(admin: Admin, client: Client, capsys: Captured) -> None:
    admin.remaining = lambda: iter([None, 1, None, 0])
    drain_and_wait(client, POD, timeout=math.inf, as_json=False)
    unknown = "pod voice-agent-3: draining, it is not known how many tunnels remain"
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[2], lines[-1]] == [unknown, unknown, "pod voice-agent-3: drained"]
    admin.remaining = lambda: repeat(None)
    drain(client, POD, as_json=False)
    assert capsys.readouterr().out == f"{unknown}\n"
    with pytest.raises(AdminFailed, match=r"it is not known how many tunnels remain after 50ms"):
        drain_and_wait(client, POD, timeout=0.05, as_json=False)


@pytest.mark.parametrize(("given", "listed"), [("Voice-Agent-3.", "voice-agent-3"), ("FD00:0::1", "fd00::1")])
def test_a_pod_is_listed_under_its_canonical_name(
    admin: Admin, client: Client, capsys: Captured, given: str, listed: str
) -> None:
    row = {"scope": "pod", "name": listed, "since": SINCE, "remaining": 4}
    admin.instead = lambda method, target: (200, {"drains": [row]})
    drain(client, Scope(pod=given), as_json=False)
    assert capsys.readouterr().out == f"pod {given}: draining, 4 tunnels remain\n"
    with pytest.raises(AdminFailed, match=r"^route voice-agent-3: is not drained$"):
        drain(client, Scope(route="voice-agent-3"), as_json=False)


def test_an_order_that_is_refused(client: Client) -> None:
    with pytest.raises(Refused, match=r"nobody knows a pod \\x1b\[31mnobody"):
        drain(client, Scope(pod="nobody"), as_json=False)


def test_an_empty_name_is_never_everything() -> None:
    assert Scope(pod="").body == {"pod": ""}
    assert Scope(route="").body == {"route": ""}
