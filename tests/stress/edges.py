"""An edge that is started again when its supervisor is killed, with or without a separate vault; its processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define

from tests.kit.apiserver import ApiServer, Pod, api_server
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import patched
from tests.kit.site import Place, Site
from tests.kit.vaults import Vault, vault_at
from tests.kit.workers import worker_pids
from tests.stress.trials import files_of, text_of

_POLL_INTERVAL = 0.02  # seconds
_ESTABLISHED = "01"  # as in /proc/net/tcp
_SERVING_TIMEOUT = 240.0  # seconds until all slots are served and all calls held again, on a busy machine
_WORKER = re.compile(r"splicer: worker \d+")
_RAISE = signal.SIGRTMIN
_CODE = f"""
import signal
import splicer.relay.hub as hub

wanted = []
signal.signal({int(_RAISE)}, lambda *_: wanted.append("a bug"))

def turn(self, turn=hub.Hub.turn):
    if wanted:
        raise RuntimeError(wanted.pop())
    turn(self)

hub.Hub.turn = turn
"""
# No log may have these, whatever process is killed.
_DEATHS = ("worker_died", "worker_crash")
_NEVER = ("crash", "supervisor_error", "vault_error", "adoption_failed", "vault_message_lost", "drains_not_followed")


@define(eq=False)
class Edges:
    """The running edge and its predecessors.

    Args:
        site: of its pods.
        text: its routing.toml.
        workers: the number of its workers.
        vault: its vault; None: the one in its supervisor.
        environ: variables of its processes, in addition to ours.
        api: the API server, from which it knows its pods.
        places: of the pods that take calls.
        all: all edges, in the order of their starts; the last one runs.
        victims: workers that were made to die.
    """

    site: Site
    text: str
    workers: int
    vault: Vault | None
    environ: dict[str, str]
    api: ApiServer
    places: list[Place]
    _stack: ExitStack
    all: list[Edge] = Factory(list)
    victims: set[int] = Factory(set)

    @property
    def now(self) -> Edge:
        """The running edge."""
        return self.all[-1]

    def start(self) -> None:
        """Start an edge, and wait until it is ready."""
        options = () if self.vault is None else ("--vault", str(self.vault.path))
        edge = running(self.text, self.site, environ=self.environ, options=options)
        self.all.append(self._stack.enter_context(edge))
        self.wait(lambda: self.now.find("discovery_synced"))

    def change_pods(self, others: int) -> None:
        """Have so many other pods beside those that take calls; they come and go, and nobody listens there."""
        pods = [Pod(place.name, place.address) for place in self.places]
        pods += [Pod(f"other-{number}", f"10.77.0.{number}", ready=number % 3 > 0) for number in range(others)]
        self.api.sync("storm", pods, {"ws": self.site.port})

    def kill_supervisor(self, *, whole: bool) -> None:
        """SIGKILL the supervisor alone, or all processes, as a service manager does when it is dead."""
        edge = self.now
        self.victims.update(self.serving)
        if whole:
            edge.kill()
        else:
            edge.killed = True
            edge.process.kill()
            edge.process.wait()

    @property
    def serving(self) -> list[int]:
        """All processes with calls, including those of a dead supervisor, and those that are retiring."""
        return self.find(lambda title: _WORKER.match(title) is not None)

    @property
    def of_slots(self) -> list[int]:
        """The workers of the running edge."""
        return list(worker_pids(self.now.pid).values())

    def find(self, wanted: Callable[[str], bool]) -> list[int]:
        """The processes with this title."""
        living = [edge for edge in self.all if edge is self.now or session_of(edge.pid)]
        return [pid for edge in living for pid, title in session_of(edge.pid) if wanted(title)]

    def send(self, pids: Collection[int], signum: int) -> None:
        """Signal processes, some of which may have ended."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def end(self, pids: Collection[int], signum: int) -> None:
        """Kill workers by a signal."""
        self.victims.update(pids)
        self.send(pids, signum)

    def crash(self, pid: int) -> None:
        """Have a worker detect a bug in itself."""
        self.end([pid], _RAISE)

    def wait_served(self) -> None:
        """Wait until every slot has a worker."""
        self.wait(self._is_served)

    def _is_served(self) -> bool:
        return worker_pids(self.now.pid).keys() == set(range(1, self.workers + 1))

    def settle(self) -> tuple[float, float, float]:
        """Wait until each slot has a worker, and each call a worker and the vault; return the seconds of each.

        Calls that begin meanwhile are not waited for.
        """
        begun = time.monotonic()
        self.wait_served()
        served = time.monotonic() - begun
        calls = connections_to(self.now.address)
        self._wait_until_held(calls, lambda: self.serving)
        held = time.monotonic() - begun
        self._wait_until_held(calls, lambda: [self.now.pid if self.vault is None else self.vault.pid])
        return served, held, time.monotonic() - begun

    def _wait_until_held(self, calls: set[str], holders: Callable[[], list[int]]) -> None:
        def left() -> int:
            found = {link for pid in holders() for link in _files_of(pid)}
            return len(calls & connections_to(self.now.address) - found)

        self.wait(lambda: not left(), told=lambda: f"{left()} of {len(calls)} calls are not held by {holders()}")

    def wait(
        self, true: Callable[[], object], seconds: float = _SERVING_TIMEOUT, told: Callable[[], object] = lambda: ""
    ) -> None:
        """Wait until a condition holds; fail with the text of `told` if it does not."""
        late = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < late, f"not within {seconds:g} s: {told()}"
            time.sleep(_POLL_INTERVAL)

    def take_odd_lines(self) -> list[dict[str, Any]]:
        """Remove from the logs, and return, all lines that no log may have, whatever process was killed."""
        lines = [line for line in self._lines if line["event"] in (*_NEVER, *_DEATHS)]
        odd = [line for line in lines if line["event"] in _NEVER or line["pid"] not in self.victims]
        for edge in self.all:
            edge.lines[:] = [line for line in edge.lines if line["event"] not in (*_NEVER, *_DEATHS, "supervisor_lost")]
            told = edge.take_stderr()
            # A process that starts while its supervisor is killed may find its files removed by the next one.
            if "Traceback" in told or (told and not edge.killed):
                odd.append({"event": "stderr", "text": told})
        return odd

    def save_logs(self, directory: Path) -> None:
        """Write all log lines to files: one for each edge, one for the vault."""
        logs = {f"edge-{number}": edge.lines for number, edge in enumerate(self.all)}
        if self.vault is not None:
            logs["vault"] = self.vault.lines
        for name, lines in logs.items():
            (directory / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def errors(self) -> Counter[str]:
        """The number of log lines for each error event."""
        return Counter(line["event"] for line in self._lines if line.get("level") == "error")

    @property
    def _lines(self) -> list[dict[str, Any]]:
        logs = [edge.lines for edge in self.all]
        if self.vault is not None:
            logs.append(self.vault.lines)
        return [line for log in logs for line in log]


def connections_to(address: tuple[str, int]) -> set[str]:
    """The accepted sockets of an address that have a peer, as /proc/PID/fd names them (proc(5), /proc/net/tcp)."""
    near = "{:08X}:{:04X}".format(*struct.unpack("=I", socket.inet_aton(address[0])), address[1])
    table = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {words[9] for words in table if words[1] == near and words[3] == _ESTABLISHED}
    return {f"socket:[{inode}]" for inode in inodes - {"0"}}


def _files_of(pid: int) -> list[str]:
    with suppress(FileNotFoundError):  # it has ended since
        return files_of(pid)
    return []


@contextmanager
def edges(directory: Path, workers: int, *, own_vault: bool) -> Iterator[Edges]:
    """Run an edge; at the end all processes must have ended properly.

    Args:
        directory: for files.
        workers: the number of workers.
        own_vault: the vault is a process of its own.
    """
    site = Site(pods=8)
    patch = directory / "patch"
    patch.mkdir()
    with ExitStack() as others, ExitStack() as stack:
        vault = others.enter_context(vault_at(directory / "vault")) if own_vault else None
        api = others.enter_context(api_server(tls=False))
        text, environ = _discovered(text_of(site, workers), site, api), patched(patch, _CODE)
        places = [site.take() for _ in range(8)]
        running_edges = Edges(site, text, workers, vault, environ, api, places, stack)
        running_edges.change_pods(0)
        running_edges.start()
        yield running_edges


# The calls' pods are known from the API server alone.
def _discovered(text: str, site: Site, api: ApiServer) -> str:
    start, ws1, rest = text.partition('name = "ws1"')
    upstream = (
        f'[kubernetes]\napi = "{api.url}"\n[upstreams.storm]\naddress = "{{pod}}.storm.voice.svc.test:{site.port}"\n'
        'discovery = "kubernetes"\nallow = ["127.0.0.0/8"]\n[upstreams.pod]'
    )
    return (
        start.replace("[upstreams.pod]", upstream, 1) + ws1 + rest.replace('upstream = "pod"', 'upstream = "storm"', 1)
    )
