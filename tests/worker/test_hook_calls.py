"""Hooks are told of the ends of calls, by the configuration in force; what they raise reaches nobody."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import frozen

from splicer.configfile.hooks import HookGeneration, LoadedHook
from splicer.hook_settings import HookSettings
from splicer.hooks import CallEnd
from splicer.model import Endpoint, Route
from splicer.observer import Observer
from splicer.record import Record
from splicer.session.context import Ruleset
from splicer.session.hook_set import HookSet
from splicer.worker.hook_calls import HookCalls
from tests.session.edge import route


@frozen
class Rules:
    hooks: HookSet


class Failures(Observer):
    def __init__(self) -> None:
        self.told: list[object] = []

    def hook_called(self, record: Record, hook: str, outcome: str, seconds: float, reason: str | None) -> None:
        self.told.append((hook, outcome, reason))

    def hook_blocked(self, hook: str, seconds: float) -> None:
        self.told.append((hook, "blocked"))


def record(of: str = "a route") -> Record:
    return Record(
        "1", "192.0.2.7", 5.0, route=of, endpoint=Endpoint("p-1", "10.0.0.1", 80), to_pod=3, to_client=4,
        closer="pod", close_reason="eof", ended=7.5, hook_fields=(("a", 1),),
    )  # fmt: skip


def made(on_call_end: object, *, named: bool = True) -> tuple[HookCalls, Failures]:
    settings, failures = HookSettings("h", "m:C"), Failures()
    loaded = LoadedHook(settings, object(), None, on_call_end, None)  # type: ignore[arg-type]  # foreign
    rules = Rules(HookSet(HookGeneration({"h": loaded})))
    routes: tuple[Route, ...] = (route(hooks=(settings,) if named else ()),)
    return HookCalls(lambda: cast("Ruleset", rules), routes, failures), failures


def test_what_a_hook_is_told() -> None:
    told: list[CallEnd] = []
    calls, failures = made(told.append)
    calls.tunnel_closed(record())
    calls.tunnel_closed(record("a route that is gone"))
    assert told == [
        CallEnd("1", "a route", "192.0.2.7", "p-1", "10.0.0.1:80", 2.5, 3, 4, "pod", "eof", {"a": 1}),
    ]
    assert failures.told == []


def test_only_the_routes_own_hooks_are_told() -> None:
    calls, _ = made(lambda _: pytest.fail("it is not this route's"), named=False)
    calls.tunnel_closed(record())
    calls, _ = made(None)
    calls.tunnel_closed(record())


def test_what_it_raises_is_counted() -> None:
    def on_call_end(_: CallEnd) -> None:
        raise SystemExit(3)

    calls, failures = made(on_call_end)
    calls.tunnel_closed(record())
    assert failures.told == [("h", "failed", "on_call_end: SystemExit: 3")]


def test_blocking_is_told() -> None:
    calls, failures = made(lambda _: sum(range(2_000_000)))
    calls.tunnel_closed(record())
    assert failures.told == [("h", "blocked")]
