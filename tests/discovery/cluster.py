"""A reflector and an API server in one process: bytes go through memory, time is a mock clock's."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing
from attrs import define, field

from splicer.discovery.api import Api
from splicer.discovery.failures import ApiFailure
from splicer.discovery.place import Place
from splicer.discovery.reflector import Reflector
from splicer.policy.slices import EndpointSlice, rows_of
from tests.kit.kubernetes.controller import Pod
from tests.kit.kubernetes.server import Asked, Server

PORTS = {"ws": 8000}
NAMESPACE = "voice"


@define
class Recorder:
    """A store: `services` is what it was told last, `told` the rest in order, each with its second."""

    services: dict[str, tuple[EndpointSlice, ...]] = field(factory=dict)
    told: list[tuple[Any, ...]] = field(factory=list)
    lists: list[str] = field(factory=list)
    events: list[str] = field(factory=list)
    failures: list[str] = field(factory=list)
    _began: float = field(factory=trio.current_time)

    def replaced(self, namespace: str, services: Mapping[str, tuple[EndpointSlice, ...]]) -> None:
        assert namespace == NAMESPACE
        self.services = dict(services)

    def changed(self, namespace: str, service: str, slices: tuple[EndpointSlice, ...]) -> None:
        assert service in self.services
        self.services[service] = slices

    def synced(self, namespace: str) -> None:
        self._tell("synced")

    def lost(self, namespace: str, reason: str) -> None:
        self._tell("lost", reason)

    def denied(self, namespace: str, status: int, message: str) -> None:
        self._tell("denied", status)

    def failed(self, namespace: str, reason: str, message: str) -> None:
        assert message
        self.failures.append(reason)

    def listed(self, namespace: str, reason: str) -> None:
        self.lists.append(reason)

    def heard(self, namespace: str, event: str) -> None:
        self.events.append(event)

    @property
    def words(self) -> list[tuple[Any, ...]]:
        """What was told, without the seconds."""
        return [each[1:] for each in self.told]

    def pods(self, service: str = "voice-agent") -> list[tuple[str | None, str]]:
        """Names and addresses of what is ready."""
        return [(row.pod, row.address) for row in rows_of(self.services[service], 8000).rows if row.ready]

    def _tell(self, *words: Any) -> None:
        self.told.append((round(trio.current_time() - self._began, 3), *words))


@define
class Cluster:
    """The server, and a way to it."""

    directory: Path
    server: Server = field(factory=Server)
    listening: bool = True
    refused: int = 0
    nursery: trio.Nursery = field(init=False)
    _began: float = field(factory=trio.current_time)

    def sync(self, *pods: Pod, service: str = "voice-agent") -> None:
        self.server.controller.sync(NAMESPACE, service, pods, PORTS)

    def crash(self) -> None:
        self.listening = False
        self.server.drop_all()

    def listen(self, *, fresh: bool = False) -> None:
        self.listening = True
        if fresh:
            self.server.start_again()

    def write_token(self, text: str) -> None:
        (self.directory / "token").write_text(text + "\n")

    @property
    def api(self) -> Api:
        return Api(Place("127.0.0.1", 6443, token_file=str(self.directory / "token")), self._connect)

    def asked(self) -> list[tuple[float, str]]:
        """Each list and watch, with its second."""
        return [(round(each.time - self._began, 3), "watch" if each.is_watch else "list") for each in self.requests()]

    def requests(self) -> list[Asked]:
        return [each for each in self.server.asked if "endpointslices" in each.target]

    async def _connect(self, place: Place) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if not self.listening:
            self.refused += 1
            raise ApiFailure("connect", "connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve, theirs)
        return ours


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    """A cluster whose Service `voice-agent` has two pods, pod-0 and pod-1."""
    made = Cluster(directory)
    made.write_token("token-1")
    made.sync(*pods(2))
    async with trio.open_nursery() as made.nursery:
        yield made
        made.nursery.cancel_scope.cancel()


@asynccontextmanager
async def reflecting(
    made: Cluster, services: Sequence[str] = ("voice-agent",), seed: int = 1
) -> AsyncIterator[Recorder]:
    """A reflector of the cluster that has begun."""
    store = Recorder()
    rng = random.Random(seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reflector(NAMESPACE, services, made.api, store, rng).run)
        await trio.testing.wait_all_tasks_blocked()
        yield store
        nursery.cancel_scope.cancel()


def pods(count: int) -> list[Pod]:
    return [Pod(f"pod-{i}", f"10.0.0.{i}") for i in range(count)]


def seen(count: int) -> list[tuple[str | None, str]]:
    """What a store must have of `pods(count)`."""
    return [(pod.name, pod.address) for pod in pods(count)]
