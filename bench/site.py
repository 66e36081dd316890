"""What all turns of a run share: pods, their names, the processors, and the lines for the report's reader."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from attrs import Factory, define

from bench.machine import Processors, cpu_seconds, pinned
from bench.names import serving
from bench.peers.base import Address, Job
from bench.peers.process import session_of
from bench.traffic.driver import Client, pods

FEW, MANY = 5, 500  # pods: as a small system has them, and a large one

_DOMAIN = "pods.bench"
_ROUTE = "/ws/pod/{pod}/call"
_DIRECT = "/call"
_HTTP = "/api/v1/voice/allocate"
_GREEDY = ("saturate", "bulk", "handshakes", "http")  # with more processors, they and the pods take half each
_OWN_PODS = ("voice", "burst")  # these are callers and pods at once
_BUSY = 0.93  # of its processors: a load that used more was late by itself
_WARM, _QUICK_WARM = 0.4, 0.2  # seconds of each load that a peer has before it counts …
_WARM_POD = 0.002  # … and more for each pod, whose name has to be looked up


@define
class Site:
    """Pods that run, and how to load them.

    Args:
        processors: whose which processor is.
        port: of all pods, and of the proxies' upstreams.
        nameserver: that knows all pods.
        quick: the run is a short one.
        route: the path to a pod through a proxy.
        pods_cpu: CPU seconds of all pods so far.
    """

    processors: Processors
    port: int
    nameserver: Address
    quick: bool = False
    route: str = _ROUTE
    pods_cpu: Callable[[], float] = float
    _notes: dict[str, None] = Factory(dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted, each once."""
        return tuple(self._notes)

    @property
    def pod(self) -> Address:
        """The first pod."""
        return _pods(1)[0][1], self.port

    def note(self, text: str) -> None:
        """A line that a reader of the report must know."""
        self._notes[text] = None

    def is_crowded(self, share: float, workers: int = 1) -> bool:
        """Whether clients and pods had no CPU left.

        Args:
            share: CPU seconds that they used in a second.
            workers: processors that the proxy had.
        """
        return share >= _BUSY * len(self.processors.load(workers))

    def job(self, pods: int = FEW, routes: int = 0, workers: int = 1) -> Job:
        """What a peer has to do."""
        return Job(_pods(pods), self.port, self.nameserver, _DOMAIN, routes, workers)

    def client(
        self,
        mode: str,
        address: Address,
        options: Mapping[str, float],
        *,
        pods: int = FEW,
        workers: int = 1,
        direct: bool = False,
    ) -> Client:
        """Clients of a proxy, in processes of their own; to be entered.

        Args:
            mode: what they do: "voice".
            address: of the proxy, or of a pod.
            options: of the mode: seconds, tunnels, rate, bytes, clients.
            pods: how many of them are called, in turn.
            workers: processors that the proxy has, which the clients leave alone.
            direct: there is no proxy in between.
        """
        if mode == "http":
            targets = [_HTTP]
        elif direct:
            targets = [_DIRECT]
        else:
            targets = [self.route.format(pod=name) for name, _ in _pods(pods)]
        cpus = self.processors.load(workers)
        more: dict[str, float | str] = {name: value for name, value in options.items() if name != "seconds"}
        if mode in _GREEDY:
            more["processes"] = max(1, len(cpus) // 2)
        if mode in _OWN_PODS:
            more["listen"] = ",".join(f"{host}:{self.port}" for _, host in _pods(1 if direct else pods))
        return Client(mode, address, targets, cpus, seconds=options["seconds"], **more)

    def warm_up(self, address: Address, modes: Sequence[str], pods: int = FEW, workers: int = 1) -> None:
        """Have a proxy do everything that will count, so that names are known and code is loaded.

        Args:
            address: of the proxy.
            modes: of clients: "handshakes", "http".
            pods: that are to be called, each.
            workers: processors that the proxy has.
        """
        seconds = (_QUICK_WARM if self.quick else _WARM) + pods * _WARM_POD
        for mode in modes:
            options = {"clients": 8, "seconds": seconds}
            with self.client(mode, address, options, pods=pods, workers=workers) as client:
                client.wait_ready()
                client.go()
                client.result()
                client.end()


@contextmanager
def opened(quick: bool, known: int = MANY) -> Iterator[Site]:
    """Pods and their name server run; this process leaves the proxies' processor alone.

    Args:
        quick: the run is a short one.
        known: pods whose names the name server has.
    """
    processors = Processors.of_this_process()
    cpus = processors.load()
    with pinned(cpus), ExitStack() as stack:
        port = _free_port()
        calls = stack.enter_context(pods(port, cpus, max(1, len(cpus) // 2)))
        nameserver = stack.enter_context(serving(_pods(known), _DOMAIN))
        site = Site(
            processors,
            port,
            nameserver,
            quick,
            pods_cpu=lambda: cpu_seconds([pid for pid, _ in session_of(calls.pid)]),
        )
        if processors.shared():
            site.note("one processor for proxy and load: the figures mean little")
        yield site


# Between this look and the pods' own there is a moment; nobody who asks for any port gets one that was free just now.
def _free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _pods(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"voice-agent-{i}", f"127.8.{i // 250}.{i % 250 + 1}") for i in range(count))
