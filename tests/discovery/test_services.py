"""What the API server says of the Services in the file is what is published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.discovery import services as module
from splicer.discovery.api import Api
from splicer.discovery.place import Place
from splicer.discovery.publisher import Publisher
from splicer.discovery.services import Services
from splicer.observe.discovery_metrics import DiscoveryMetrics
from splicer.policy.endpoint_flags import READY, SERVING, TERMINATING
from splicer.upstream.snapshot import Found
from tests.discovery.cluster import Cluster, cluster
from tests.kit.kubernetes.controller import Pod
from tests.upstream.snapshots import Snapshot

FIT = READY | SERVING
KEY, NAMED = "voice/voice-agent:8000", "voice/voice-agent:ws"


class Lines:
    """A log to be looked at."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.all.append((event, fields))

    warning = error = info

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.all if name == event]


class Rig:
    """Services, the cluster that they ask, and what is published of it."""

    def __init__(self, made: Cluster, nursery: trio.Nursery, environ: dict[str, str]) -> None:
        self.cluster = made
        self.snapshot = Snapshot()
        self.lines = Lines()
        log: Any = self.lines
        self.metrics = DiscoveryMetrics()
        self.publisher = Publisher(self.snapshot.writer, log)
        self.services = Services(nursery, self.publisher, self.metrics, log, environ, trio.current_time)

    def counted(self, family: str, word: str) -> float:
        name = {"skipped": "rows_skipped"}.get(family, family)
        samples = [sample for metric in self.metrics.collect() for sample in metric.samples]
        [value] = [
            sample.value
            for sample in samples
            if sample.name == f"splicer_discovery_{name}_total" and word in sample.labels.values()
        ]
        return value

    def use(self, *addresses: str, more: str = "") -> None:
        self.services.use(config(*addresses, more=more))

    def flags(self, key: str = KEY) -> dict[str, int] | None:
        """The endpoints' flags by their pods; None: name servers are to be asked."""
        rows = self.publisher.found[key].rows
        return None if rows is None else {row.pod: row.flags for row in rows}


def config(*addresses: str, more: str = "") -> Config:
    upstreams = "".join(
        f'[upstreams.u{n}]\naddress = "{address}"\ndiscovery = "kubernetes"\nallow = ["10.0.0.0/8"]\n'
        for n, address in enumerate(addresses)
    )
    route = '[[routes]]\nname = "all"\nprefix = "/"\nrespond = { status = 204 }\n'
    return load(f"{more}\n{upstreams}{route}", environ={})


AGENT, AGENT_BY_PORT = "voice-agent.voice.svc:8000", "voice-agent.voice.svc:ws"
POD = "{pod}.voice-agent.voice.svc:8000"
ENVIRON = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
async def rig(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with cluster(tmp_path) as made, trio.open_nursery() as nursery:

        def api(place: Place) -> Api:
            return made.api if place.port == 6443 else Api(place, made.api.connect)

        monkeypatch.setattr(module, "Api", api)
        yield Rig(made, nursery, ENVIRON)
        nursery.cancel_scope.cancel()


async def test_a_service_is_published_for_each_port_that_is_asked_for(rig: Rig, autojump_clock: MockClock) -> None:
    rig.use(AGENT, POD, AGENT_BY_PORT)
    assert rig.publisher.found[KEY] == Found(synced=False, since=trio.current_time(), rows=None)
    await trio.sleep(0.1)
    assert rig.publisher.found.keys() == {KEY, NAMED}
    for key in (KEY, NAMED):
        assert rig.flags(key) == {"pod-0": FIT, "pod-1": FIT}
        assert rig.publisher.found[key].synced
    assert [row.port for row in rig.publisher.found[NAMED].rows or ()] == [8000, 8000]
    [line] = rig.lines.of("discovery_synced")
    assert line == {"namespace": "voice", "services": [KEY, NAMED]}
    assert len([each for each in rig.cluster.asked() if each[1] == "list"]) == 1, "one for the namespace"
    assert rig.counted("lists", "start") == 1


async def test_changes_are_published_and_who_becomes_ready_is_told(rig: Rig, autojump_clock: MockClock) -> None:
    renewed: list[Any] = []
    rig.publisher.on_find(renewed.extend)
    rig.use(AGENT)
    await trio.sleep(0.1)
    assert sorted(renewed) == [], "those of the first list are not new"
    rig.cluster.sync(Pod("pod-0", "10.0.0.0", ready=False), Pod("pod-1", "10.0.0.1", terminating=True))
    await trio.sleep(0.1)
    assert rig.flags() == {"pod-0": 0, "pod-1": SERVING | TERMINATING}
    rig.cluster.sync(Pod("pod-0", "10.0.0.0"), Pod("pod-2", "10.0.0.2"))
    await trio.sleep(0.1)
    assert rig.flags() == {"pod-0": FIT, "pod-2": FIT}
    assert sorted(renewed) == [("10.0.0.0", 8000), ("10.0.0.2", 8000)]
    assert {row.since > 0 for row in rig.publisher.found[KEY].rows or ()} == {True}
    assert rig.counted("events", "MODIFIED") == 2


async def test_a_reload_leaves_alone_what_stays(rig: Rig, autojump_clock: MockClock) -> None:
    rig.use(AGENT)
    await trio.sleep(0.1)
    rig.use(AGENT, AGENT_BY_PORT, more="[resolver]\nipv6 = false\n")
    assert rig.flags(NAMED) == {"pod-0": FIT, "pod-1": FIT}, "nobody is asked for another port"
    assert rig.publisher.found[NAMED].synced
    await trio.sleep(0.1)
    assert [what for _, what in rig.cluster.asked()] == ["list", "watch"]
    rig.use("smart-router.voice.svc:80")
    assert rig.publisher.found.keys() == {"voice/smart-router:80"}
    await trio.sleep(0.1)
    assert [what for _, what in rig.cluster.asked()] == ["list", "watch"] * 2
    assert [line["service"] for line in rig.lines.of("discovery_no_service")] == ["voice/smart-router:80"]
    rig.use()
    await trio.sleep(0.1)
    assert rig.publisher.found == {}
    rig.cluster.sync(Pod("pod-7", "10.0.0.7"))
    await trio.sleep(1)
    assert rig.publisher.found == {}


async def test_a_service_or_port_that_is_not_there_is_for_name_servers_and_told_once(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.use("voice-agent.voice.svc:9", "voice-agent.voice.svc:http", "nobody.voice.svc:80")
    await trio.sleep(0.1)
    assert {found.rows for found in rig.publisher.found.values()} == {None}
    assert {found.synced for found in rig.publisher.found.values()} == {True}
    rig.cluster.sync(Pod("pod-0", "10.0.0.0"))
    await trio.sleep(0.1)
    ports = {line["service"] for line in rig.lines.of("discovery_port")}
    assert ports == {"voice/voice-agent:9", "voice/voice-agent:http"}
    assert len(rig.lines.of("discovery_port")) == 2
    assert [line["service"] for line in rig.lines.of("discovery_no_service")] == ["voice/nobody:80"]
    rig.cluster.sync(Pod("pod-9", "10.0.0.9"), service="nobody")
    await trio.sleep(0.1)
    assert len(rig.lines.of("discovery_no_service")) == 1


async def test_what_was_known_stays_while_the_api_server_is_away(rig: Rig, autojump_clock: MockClock) -> None:
    rig.use(AGENT)
    await trio.sleep(0.1)
    rig.cluster.crash()
    await trio.sleep(4)
    assert rig.publisher.found[KEY].synced, "a moment is no loss"
    await trio.sleep(10)
    found = rig.publisher.found[KEY]
    assert (found.synced, rig.flags()) == (False, {"pod-0": FIT, "pod-1": FIT})
    assert 0 < found.since < trio.current_time()
    [line] = rig.lines.of("discovery_lost")
    assert line == {"service": KEY, "reason": "connect", "error": "connection refused", "kept": 2}
    rig.cluster.sync(Pod("pod-3", "10.0.0.3"))
    rig.cluster.listen()
    await trio.sleep(60)
    assert (rig.publisher.found[KEY].synced, rig.flags()) == (True, {"pod-3": FIT})
    assert rig.counted("failures", "connect") > 0


async def test_a_new_process_goes_on_from_the_snapshot(
    rig: Rig, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    rig.use(AGENT)
    await trio.sleep(0.1)
    rig.publisher.publish()
    rig.cluster.crash()
    log: Any = rig.lines
    publisher = Publisher(rig.snapshot.writer, log)
    later = Services(nursery, publisher, rig.metrics, log, ENVIRON, trio.current_time)
    later.use(config(AGENT))
    assert not publisher.found[KEY].synced, "who was alive then may be dead for long"
    await trio.sleep(20)
    assert publisher.found[KEY].rows == rig.publisher.found[KEY].rows
    assert not publisher.found[KEY].synced


async def test_who_may_not_look_is_told_what_to_do(rig: Rig, autojump_clock: MockClock) -> None:
    rig.cluster.server.namespaces.clear()
    rig.use(AGENT)
    await trio.sleep(30)
    [line] = rig.lines.of("discovery_denied")
    assert (line["status"], line["namespace"]) == (403, "voice")
    assert "list and watch endpointslices" in line["remedy"]
    rig.cluster.server.token = "another"
    await trio.sleep(120)
    assert "token_file" in rig.lines.of("discovery_denied")[-1]["remedy"] or len(rig.lines.of("discovery_denied")) == 1


async def test_endpoints_that_make_no_sense_are_counted_once(rig: Rig, autojump_clock: MockClock) -> None:
    rig.cluster.sync(Pod("pod-0", "10.0.0.0"), Pod("pod-1", "10.0.0.1", "fd00::1"))
    rig.use(AGENT, more="[resolver]\nipv6 = false\n")
    await trio.sleep(0.1)
    assert rig.flags() == {"pod-0": FIT, "pod-1": FIT}
    rig.use("voice-agent.voice.svc:9", more="[resolver]\nipv6 = false\n")
    await trio.sleep(0.1)
    assert rig.counted("skipped", "port") == 2
    rig.cluster.sync(Pod("pod-0", "10.0.0.0", ready=False))
    await trio.sleep(0.1)
    assert rig.counted("skipped", "port") == 2


async def test_a_file_without_discovery_asks_nobody(
    tmp_path: Path, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with cluster(tmp_path) as made:
        rig = Rig(made, nursery, {})
        rig.use()
        await trio.sleep(1)
        assert rig.lines.all == []


async def test_outside_of_a_cluster_the_log_says_what_to_write(
    tmp_path: Path, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async with cluster(tmp_path) as made:
        rig = Rig(made, nursery, {})
        rig.use(AGENT)
        await trio.sleep(1)
        [line] = rig.lines.of("discovery_not_in_cluster")
        assert "[kubernetes] api" in line["remedy"]
        assert rig.publisher.found[KEY].rows is None
