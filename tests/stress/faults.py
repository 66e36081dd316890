"""The faults that can happen to an edge's processes, by name; `strike` makes one happen.

A fault that is `alone` ends one of the two processes that hold each call: it begins when both hold all calls, and the
next fault follows when they hold all calls again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

from attrs import frozen

from tests.stress.edges import Edges

_RECOVERY_SECONDS = 5.0  # seconds
_STUCK_TIMEOUT = 120.0  # seconds after which a stopped worker is dead
_RENEWAL_TIMEOUT = 240.0  # seconds
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
Act = Callable[[Edges, Random], None]


@frozen
class Fault:
    """A kind of fault.

    Args:
        act: does it.
        weight: its relative frequency.
        alone: see above.
        own_vault: it needs a vault that is a process of its own.
        loses: calls may be lost.
    """

    act: Act
    weight: int
    alone: bool = False
    own_vault: bool = False
    loses: bool = False


def strike(fault: Fault, edges: Edges, rng: Random) -> None:
    """Make a fault happen; before one that is `alone`, `edges.settle` must have been called."""
    begun = time.monotonic()
    fault.act(edges, rng)
    if fault.alone:
        time.sleep(max(0.0, begun + _RECOVERY_SECONDS - time.monotonic()))
    else:
        time.sleep(rng.uniform(0.0, 1.0) ** 2)


def _some(edges: Edges, rng: Random, which: str) -> list[int]:
    pids = edges.serving
    if which == "all" or len(pids) < 2:
        return pids
    return rng.sample(pids, 1 if which == "one" else rng.randint(2, max(2, len(pids) - 1)))


def _kill(which: str) -> Act:
    return lambda edges, rng: edges.end(_some(edges, rng, which), signal.SIGKILL)


def _crash(which: str) -> Act:
    def act(edges: Edges, rng: Random) -> None:
        for pid in _some(edges, rng, which):
            edges.end([pid], rng.choice(_CRASHES))

    return act


def _raise(edges: Edges, rng: Random) -> None:
    for pid in _some(edges, rng, "one"):
        edges.crash(pid)


def _stop(which: str) -> Act:
    def act(edges: Edges, rng: Random) -> None:
        _pause(edges, _some(edges, rng, which), rng.choice((0.05, 0.3, 2.0)))

    return act


def _pause(edges: Edges, pids: list[int], seconds: float) -> None:
    edges.send(pids, signal.SIGSTOP)
    time.sleep(seconds)
    edges.send(pids, signal.SIGCONT)


def _stick(edges: Edges, rng: Random) -> None:
    edges.wait_served()
    stopped = rng.choice(edges.of_slots)
    edges.end([stopped], signal.SIGSTOP)
    edges.wait(lambda: stopped not in edges.serving, _STUCK_TIMEOUT)


def _other(title: str, signum: int | None) -> Act:
    def act(edges: Edges, rng: Random) -> None:
        pids = edges.find(title.__eq__)
        if signum is None:
            _pause(edges, pids, rng.uniform(0.1, 2.0))
        else:
            edges.end(pids, signum)

    return act


def _reload(edges: Edges, rng: Random) -> None:
    edges.now.write(edges.text + f"# {rng.random()}\n[limits]\nhead_bytes = {rng.randint(8192, 65536)}\n")
    edges.now.signal(signal.SIGHUP)


def _bad_reload(edges: Edges, _: Random) -> None:
    edge = edges.now
    edge.mark()
    edge.write("[server]\nlisten = 1\n")
    edge.signal(signal.SIGHUP)
    edges.wait(lambda: edge.find("reload_failed"), _RENEWAL_TIMEOUT)
    edge.write(edges.text)


def _renew(signum: signal.Signals) -> Act:
    """Sometimes make other faults happen before it is over; a recycle during an upgrade becomes part of the upgrade."""

    def act(edges: Edges, rng: Random) -> None:
        edges.now.mark()
        edges.now.signal(signum)
        if rng.random() < 0.5:
            edges.wait(lambda: edges.now.find(("recycled", "upgraded", "upgrade_failed")), _RENEWAL_TIMEOUT)

    return act


def _kill_vault(edges: Edges, rng: Random) -> None:
    assert edges.vault is not None
    edges.vault.kill()
    time.sleep(rng.uniform(0.0, 2.0))
    edges.vault.start()


def _stop_vault(edges: Edges, rng: Random) -> None:
    assert edges.vault is not None
    _pause(edges, [edges.vault.pid], rng.uniform(0.1, 3.0))


def _stop_supervisor(edges: Edges, rng: Random) -> None:
    _pause(edges, [edges.now.pid], rng.uniform(0.1, 3.0))


def _kill_supervisor(*, whole: bool) -> Act:
    def act(edges: Edges, rng: Random) -> None:
        edges.kill_supervisor(whole=whole)
        time.sleep(rng.uniform(0.0, 2.0))
        edges.start()

    return act


def _kill_vault_and_worker(edges: Edges, rng: Random) -> None:
    assert edges.vault is not None
    edges.end(_some(edges, rng, "one"), signal.SIGKILL)
    _kill_vault(edges, rng)


# The kill of the discovery process may hit it while it publishes this.
def _change_pods(edges: Edges, rng: Random) -> None:
    for _ in range(rng.randint(1, 5)):
        edges.change_pods(rng.randint(0, 200))
    if rng.random() < 0.5:
        edges.end(edges.find("splicer: discovery".__eq__), signal.SIGKILL)


def _crash_api_server(edges: Edges, rng: Random) -> None:
    edges.api.crash()
    time.sleep(rng.uniform(0.0, 2.0))
    edges.api.listen(fresh=rng.random() < 0.5)


FAULTS = {
    "kill one worker": Fault(_kill("one"), 20),
    "kill several workers": Fault(_kill("several"), 8),
    "kill all workers": Fault(_kill("all"), 5),
    "kill the spare": Fault(_other("splicer: spare", signal.SIGKILL), 5),
    "kill the admin process": Fault(_other("splicer: admin", signal.SIGKILL), 4),
    "kill the template": Fault(_other("splicer: template", signal.SIGKILL), 5),
    "kill the discovery process": Fault(_other("splicer: discovery", signal.SIGKILL), 5),
    "stop one worker": Fault(_stop("one"), 6),
    "stop several workers": Fault(_stop("several"), 3),
    "stop all workers": Fault(_stop("all"), 2),
    "stop the spare": Fault(_other("splicer: spare", None), 2),
    "stop the admin process": Fault(_other("splicer: admin", None), 2),
    "stop the template": Fault(_other("splicer: template", None), 2),
    "stop the discovery process": Fault(_other("splicer: discovery", None), 2),
    "pods come and go": Fault(_change_pods, 4),
    "the API server is away": Fault(_crash_api_server, 2),
    "stop one worker for good": Fault(_stick, 1),
    "crash one worker": Fault(_crash("one"), 6),
    "crash several workers": Fault(_crash("several"), 3),
    "crash all workers": Fault(_crash("all"), 2),
    "crash the spare": Fault(_other("splicer: spare", signal.SIGSEGV), 2),
    "crash the admin process": Fault(_other("splicer: admin", signal.SIGSEGV), 2),
    "crash the template": Fault(_other("splicer: template", signal.SIGSEGV), 2),
    "an exception in one worker": Fault(_raise, 4),
    "reload": Fault(_reload, 6),
    "reload of a broken file": Fault(_bad_reload, 2),
    "recycle": Fault(_renew(signal.SIGUSR1), 4),
    "upgrade": Fault(_renew(signal.SIGUSR2), 4),
    "kill the vault": Fault(_kill_vault, 2, alone=True, own_vault=True),
    "stop the vault": Fault(_stop_vault, 1, alone=True, own_vault=True),
    "kill the supervisor": Fault(_kill_supervisor(whole=False), 2, alone=True, own_vault=True),
    "stop the supervisor": Fault(_stop_supervisor, 1, alone=True),
    "kill all of the edge": Fault(_kill_supervisor(whole=True), 2, alone=True, own_vault=True),
    "kill the vault and one worker": Fault(_kill_vault_and_worker, 1, alone=True, own_vault=True, loses=True),
}
