"""One tunnel of a storm: its two directions, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio
from attrs import Factory, define, field

from tests.stress.plans import Plan
from tests.stress.report import Fault, Kind, Report
from tests.stress.streams import End, Flow, explain


@define(eq=False)
class Tunnel:
    """A tunnel.

    A pod that hears of an end before its client has an answer can't know: a handshake that is dropped is no fault, but
    a 101 followed by an end is. So that verdict waits for the client's answer.

    Args:
        number: its own.
        plan: what its sides do.
        report: where its faults go.
        flows: of all tunnels, to say whose bytes came out wrong.
        up: client to pod.
        down: pod to client.
        answered: the client knows what came of its handshake.
        is_open: it was a 101.
        scopes: the sides at work.
        pod_left: the pod's side is through, or there never was one.
        fault: the first one.
    """

    number: int
    plan: Plan
    report: Report
    flows: Callable[[], Iterable[Flow]]
    up: Flow = field(init=False)
    down: Flow = field(init=False)
    answered: trio.Event = Factory(trio.Event)
    is_open: bool = False
    scopes: list[trio.CancelScope] = Factory(list)
    pod_left: trio.Event = Factory(trio.Event)
    fault: Fault | None = None
    _held: str = ""

    def __attrs_post_init__(self) -> None:
        self.up = Flow.of(f"tunnel {self.number}, client to pod", f"{self.number} up", self.fail)
        self.down = Flow.of(f"tunnel {self.number}, pod to client", f"{self.number} down", self.fail)

    def fail(self, kind: Kind, detail: str) -> None:
        """Note a fault, and end both sides; the first one counts."""
        if kind is Kind.LOST and not self.is_open:
            self._held = detail
            return
        if self.fault is None:
            wrong = [explain(flow, self.flows()) for flow in (self.up, self.down) if flow.wrong]
            self.fault = Fault(kind, self.plan.behaviour, wrong[0] if wrong else detail)
            self.report.faults.append(self.fault)
            self.report.missing += self.up.missing + self.down.missing
        for scope in self.scopes:
            scope.cancel()

    def opens(self) -> None:
        """The client has its 101."""
        self.is_open = True
        self.answered.set()
        self.up.resume()  # early bytes are due from here on
        if self._held:
            self.fail(Kind.LOST, self._held)

    def stays_closed(self) -> None:
        """The client got something else, or nothing: it's gone, and its pod should hear of it."""
        self.answered.set()
        self.up.finish(End.RESET)
        self.down.leave()

    def count(self) -> None:
        """Enter it into the report, when it's over."""
        if not self.is_open:
            return
        self.report.to_pods += self.up.received
        self.report.to_clients += self.down.received
        self.report.longest_gaps.append(max(self.up.longest_gap, self.down.longest_gap))
        if self.fault is None:
            self.report.completed[self.plan.behaviour] += 1
