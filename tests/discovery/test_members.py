"""Which endpoints an upstream has: rows of a Service, addresses of a name, or names in use."""

from __future__ import annotations

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.discovery.members import Members
from splicer.health import HealthCheck
from splicer.ipc.endpoint_reports import UsedRow
from splicer.policy.endpoint_flags import READY, SERVING, KnownEndpoint
from splicer.upstream.snapshot import Found

TEXT = """
[resolver]
nameservers = ["127.0.0.1:1"]
[resolver.hosts]
"fixed.test" = ["10.0.0.1", "10.0.0.2", "127.0.0.1"]
[upstreams.pod]
address = "{pod}.voice.ns.svc.cluster.local:8000"
allow = ["10.0.0.0/8"]
KIND
health_check = { path = "/health" }
[upstreams.any]
address = "voice.ns.svc.cluster.local:8000"
allow = ["10.0.0.0/8"]
KIND
outlier_detection = {}
health_check = "tcp"
[upstreams.fixed]
address = "fixed.test:80"
proxy_protocol = "v1"
health_check = "tcp"
[upstreams.plain]
address = "plain.test:80"
[[routes]]
name = "all"
regex = '^/(?<pod>.+)$'
upstream = "pod"
"""
SERVICE = "ns/voice:8000"
ROWS = (
    KnownEndpoint("pod-1", "10.4.0.1", 8000, READY | SERVING),
    KnownEndpoint("pod-2", "10.4.0.2", 8000, 0),
    KnownEndpoint("pod-3", "169.254.169.254", 8000, READY),
)


def config(kind: str = "") -> Config:
    return load(TEXT.replace("KIND", kind), environ={})


@define
class Ground:
    nursery: trio.Nursery
    found: dict[str, Found] = field(factory=dict)
    changes: int = 0
    members: Members = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.members = Members(self.nursery, lambda: self.found, trio.current_time)

    def change(self) -> None:
        self.changes += 1

    def checked(self) -> set[tuple[str, str, str]]:
        """Of each target the upstream, the host and the address."""
        return {(each.upstream, each.host, each.endpoint.address) for each in self.members.targets()}


async def test_the_rows_of_a_service(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ground = Ground(nursery, {SERVICE: Found(synced=True, since=0.0, rows=ROWS)})
    ground.members.use(config('discovery = "kubernetes"'))
    assert ground.members.known("pod") == ground.members.known("any") == {("10.4.0.1", 8000)}
    domain = "voice.ns.svc.cluster.local"
    pods = {("pod", f"pod-{last}.{domain}", f"10.4.0.{last}") for last in (1, 2)}
    assert ground.checked() - pods == {("any", domain, "10.4.0.1"), ("any", domain, "10.4.0.2")} | {
        ("fixed", "fixed.test", "10.0.0.1"),
        ("fixed", "fixed.test", "10.0.0.2"),
    }, "not ready ones too; what may not be dialled never"
    assert pods <= ground.checked()


async def test_names_in_use(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ground = Ground(nursery)
    ground.members.use(config())
    nursery.start_soon(ground.members.run, ground.change)
    await trio.sleep(30.0)
    assert ground.members.known("pod") == frozenset()
    changes = ground.changes
    host = "pod-7.voice.ns.svc.cluster.local"
    ground.members.used([UsedRow("pod", host, "10.4.0.7", 8000), UsedRow("gone", "a.b", "10.4.0.8", 8000)])
    await trio.sleep(0.5)
    assert ground.changes > changes
    assert ground.members.known("pod") == {("10.4.0.7", 8000)}
    assert ("pod", host, "10.4.0.7") in ground.checked()
    await trio.sleep(610.0)
    assert ground.members.known("pod") == frozenset()
    assert not [each for each in ground.checked() if each[0] == "pod"]


async def test_a_name_server_that_is_silent_delays_nothing_else(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(nursery)
    ground.members.use(config())

    async def hang(_: str) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(ground.members, "_resolve", hang)
    nursery.start_soon(ground.members.run, ground.change)
    await trio.sleep(3.0)
    ground.members.used([UsedRow("pod", "pod-7.voice.ns.svc.cluster.local", "10.4.0.7", 8000)])
    changes = ground.changes
    await trio.sleep(0.5)
    assert ground.changes > changes


async def test_the_addresses_of_a_name(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ground = Ground(nursery)
    ground.members.use(config())
    assert ground.members.known("fixed") == {("10.0.0.1", 80), ("10.0.0.2", 80)}
    assert ground.members.known("plain") == ground.members.known("nobody") == frozenset()
    [target] = [each for each in ground.members.targets() if each.endpoint.address == "10.0.0.1"]
    assert (target.check, target.endpoint.port, target.host) == (HealthCheck(), 80, "fixed.test")
    assert target.first == b"PROXY UNKNOWN\r\n"
