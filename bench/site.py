"""The state that all turns of a run share: pods, their names, the processors, and the report's notes."""

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

FEW, MANY = 5, 500  # numbers of pods of a small and of a large system

_DOMAIN = "pods.bench"
_ROUTE = "/ws/pod/{pod}/call"
_DIRECT = "/call"
_HTTP = "/api/v1/voice/allocate"
# With several processors, clients have half of them, with a process for each; pods have the others.
_GREEDY = ("saturate", "bulk", "handshakes", "http", "tls-handshakes")
_OWN_PODS = ("voice", "burst")  # in these modes, one process has both callers and pods
_BUSY = 0.93  # share of its processors; a load that used more was late itself
_WARM, _QUICK_WARM = 0.4, 0.2  # seconds of each load that warms up a peer …
_WARM_POD = 0.002  # … and further seconds for each pod, whose name must be looked up


@define
class Site:
    """The running pods, and the ways to load them.

    Args:
        processors: the assignment of processors.
        port: of all pods, and of the proxies' upstreams.
        nameserver: has the names of all pods.
        quick: the run is a short one.
        route: the path to a pod through a proxy.
        pods_cpu: returns the CPU seconds of all pods so far.
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
        """All notes, without duplicates."""
        return tuple(self._notes)

    @property
    def pod(self) -> Address:
        """The first pod."""
        return _pods(1)[0][1], self.port

    def note(self, text: str) -> None:
        """Add a note to the report."""
        self._notes[text] = None

    def is_crowded(self, share: float, workers: int = 1) -> bool:
        """Whether clients and pods had no CPU time left.

        Args:
            share: CPU seconds that they used in a second.
            workers: processors that the proxy had.
        """
        return share >= _BUSY * len(self.processors.load(workers))

    def job(self, pods: int = FEW, routes: int = 0, workers: int = 1) -> Job:
        """The task of a peer."""
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
        """A context manager with the clients of a proxy, each in its own process.

        Args:
            mode: the kind of load: "voice".
            address: of the proxy, or of a pod.
            options: of the mode: seconds, tunnels, rate, bytes, clients.
            pods: the number of pods that are called, in turn.
            workers: the number of the proxy's processors, which the clients don't use.
            direct: there is no proxy between clients and pods.
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
        """Warm up a proxy: run each kind of load, so that names are cached and code is loaded.

        Args:
            address: of the proxy.
            modes: of clients: "handshakes", "http".
            pods: the number of pods; each is called.
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
    """Run pods and their name server; this process keeps off the proxies' processors.

    Args:
        quick: the run is a short one.
        known: the number of pods whose names the name server has.
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


# There is a gap before the pods bind the port; a request for any free port does not get one that was just freed.
def _free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _pods(count: int) -> tuple[tuple[str, str], ...]:
    return tuple((f"voice-agent-{i}", f"127.8.{i // 250}.{i % 250 + 1}") for i in range(count))
