"""Pods come, go and turn while everything goes wrong that can: at rest the rows are what the pods are."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from splicer.policy.slices import Row, rows_of
from tests.discovery.cluster import PORTS, Cluster, Recorder, cluster, reflecting
from tests.kit.kubernetes.controller import Pod

_STEPS = 60
_REST = 240.0  # seconds: silence is noticed after 150, and a pause may be 60 long
_SERVICES = ("voice-agent", "smart-router")
_SPOILERS = ("cut", "half_line", "long_line", "garbage", "error")


@define
class Model:
    """What is true, and how it is changed."""

    made: Cluster
    rng: random.Random
    pods: dict[str, dict[str, Pod]] = field(factory=lambda: {service: {} for service in _SERVICES})
    made_pods: int = 0
    faults: int = 0

    async def step(self) -> None:
        choices = [self.add, self.add, self.turn, self.turn, self.drop, self.return_elsewhere, self.remove_service]
        if self.rng.random() < 0.4:
            self.go_wrong()
            self.faults += 1
        else:
            self.rng.choice(choices)()
        await trio.sleep(self.rng.choice([0, 0.001, 0.1, 1, 5, 40]))

    def add(self) -> None:
        service = self.rng.choice(_SERVICES)
        self.made_pods += 1
        number = self.made_pods
        second = f"fd00::{number:x}" if self.rng.random() < 0.3 else None
        name = f"{service}-{self.rng.randrange(8)}"
        address = f"10.0.{number // 250}.{number % 250}"
        self.pods[service][name] = Pod(name, address, second, ready=False)
        self.sync(service)

    def turn(self) -> None:
        service, pod = self.one()
        if pod is not None:
            ready, terminating = self.rng.choice([(not pod.ready, pod.terminating), (pod.ready, not pod.terminating)])
            self.pods[service][pod.name] = evolve(pod, ready=ready, terminating=terminating)
            self.sync(service)

    def drop(self) -> None:
        service, pod = self.one()
        if pod is not None:
            del self.pods[service][pod.name]
            self.sync(service)

    def return_elsewhere(self) -> None:
        service, pod = self.one()
        if pod is not None:
            self.made_pods += 1
            self.pods[service][pod.name] = evolve(pod, address=f"10.1.{self.made_pods // 250}.{self.made_pods % 250}")
            if self.rng.random() < 0.5:
                self.made.server.controller.copy("voice", service, pod.name)
            self.sync(service)

    def remove_service(self) -> None:
        service = self.rng.choice(_SERVICES)
        self.pods[service].clear()
        self.made.server.controller.remove("voice", service)

    def one(self) -> tuple[str, Pod | None]:
        service = self.rng.choice(_SERVICES)
        pods = list(self.pods[service].values())
        return service, self.rng.choice(pods) if pods else None

    def sync(self, service: str) -> None:
        self.made.server.controller.sync("voice", service, list(self.pods[service].values()), PORTS)

    def go_wrong(self) -> None:
        server, rng = self.made.server, self.rng
        match rng.randrange(10):
            case 0:
                self.made.crash()
            case 1:
                self.made.listen(fresh=rng.random() < 0.5)
            case 2:
                server.mute(rng.random() < 0.5)
            case 3:
                server.storage.compact()
            case 4:
                kind = rng.choice([*_SPOILERS, "reset", "short", "answer", "too_large"])
                status = rng.choice([401, 403, 410, 429, 500, 503])
                where = "watch" if kind in (*_SPOILERS, "short") else rng.choice(["list", "watch", "any"])
                times, size = rng.randint(1, 3), rng.randrange(3000)
                server.faults.add(kind=kind, where=where, times=times, status=status, size=size)
            case 5:
                server.drop_all()
            case 6:
                for watch in server.watches:
                    watch.end()
                server.storage.wake()
            case 7:
                server.token = self.rng.choice(["token-1", "token-2"])
            case 8:
                self.made.write_token(self.rng.choice(["token-1", "token-2", ""]))
            case _:
                server.controller.most = rng.choice([1, 3, 100])

    def all_well(self) -> None:
        self.made.listen()
        self.made.server.mute(False)
        self.made.server.faults.waiting.clear()
        self.made.write_token(self.made.server.token or "")

    def expected(self, service: str) -> set[tuple[str, str, bool, bool, bool]]:
        return {
            (pod.name, address, pod.ready and not pod.terminating, pod.ready, pod.terminating)
            for pod in self.pods[service].values()
            for address in filter(None, (pod.address, pod.second))
        }


def _seen(store: Recorder, service: str) -> set[tuple[str | None, str, bool, bool, bool]]:
    rows: tuple[Row, ...] = rows_of(store.services[service], 8000).rows
    seen = [(row.pod, row.address, row.ready, row.serving, row.terminating) for row in rows]
    assert len(seen) == len(set(seen))
    return set(seen)


async def _run(seed: int, directory: Path) -> None:
    async with cluster(directory) as made:
        made.server.controller.remove("voice", "voice-agent")
        model = Model(made, random.Random(seed))
        async with reflecting(made, _SERVICES, seed) as store:
            for _ in range(_STEPS):
                await model.step()
            model.all_well()
            began, calm = trio.current_time(), len(made.requests())
            await trio.sleep(_REST)
            assert store.told[-1][1] == "synced", store.told
            for service in _SERVICES:
                assert _seen(store, service) == model.expected(service)
            # Once more, with nothing in the way: it is seen at once.
            model.add()
            await trio.sleep(0.001)
            assert [_seen(store, service) for service in _SERVICES] == [model.expected(each) for each in _SERVICES]
            hours = (trio.current_time() - began) / 3600
            assert len(made.requests()) - calm <= 20 + 20 * hours
            assert len(made.requests()) + made.refused <= 20 * (model.faults + 1)
            words = [each[1] for each in store.told if each[1] != "denied"]
            assert all(a != b for a, b in pairwise(words))


@pytest.mark.parametrize("seed", range(8))
async def test_at_rest_the_rows_are_what_the_pods_are(seed: int, tmp_path: Path, autojump_clock: MockClock) -> None:
    await _run(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 220))
async def test_of_many(seed: int, tmp_path: Path, autojump_clock: MockClock) -> None:
    await _run(seed, tmp_path)
