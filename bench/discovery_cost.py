"""Measure what discovery costs a new call: this checkout with the pods' names in its DNS cache, and with discovery.

    python -m bench.discovery_cost [--pairs 20] [--seconds 2] [SCENARIO …]

As `bench.pairs`: both at the same time on one processor, each with one worker, rounds A B, B A …; "before" has the
pods from a name server, "after" from an API server, and their names are in no DNS. The CPU time is that of all
processes, so the discovery process is in it. The API server is a thread of the bench, on the load's processors: it has
one Service whose pods stay, so it has as little to say as the name server.

The law: with discovery, a new call takes no more. If the whole 95 % interval is above that, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import scenarios
from bench.arguments import Parser, seconds
from bench.http_thread import Handler, served
from bench.interrupt import INTERRUPTED, interruptible
from bench.interval import LEAST_PAIRS
from bench.pairs import AFTER, BEFORE, NoPairs, rows
from bench.peers.base import Job, PeerFailed
from bench.peers.splicer import ROOT, Checkout, Splicer
from bench.peers.template import at, home_of
from bench.progress import progress
from bench.run import Options, Run
from bench.traffic.driver import TrafficFailed

_CALL = "CPU of a new call"
_USUAL = ("handshakes",)
_SERVICE, _NAMESPACE = "voice-agent", "voice"
_BOOKMARK_INTERVAL = 30.0  # seconds
_SYNC_TIMEOUT = 30.0  # seconds until the pods are known
_VERSION = {"metadata": {"resourceVersion": "1"}}


def slices(job: Job) -> dict[str, Any]:
    """An EndpointSliceList (discovery.k8s.io/v1) with all pods, a hundred in each slice."""
    endpoints = [
        {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}, "hostname": name}
        for name, address in job.pods
    ]
    items = [
        {
            "metadata": {
                "name": f"{_SERVICE}-{first}",
                "uid": f"uid-{first}",
                "resourceVersion": "1",
                "labels": {"kubernetes.io/service-name": _SERVICE},
            },
            "addressType": "IPv4",
            "endpoints": endpoints[first : first + 100],
            "ports": [{"name": "ws", "protocol": "TCP", "port": job.port}],
        }
        for first in range(0, len(endpoints), 100)
    ]
    return {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", **_VERSION, "items": items}


@contextmanager
def _api_server(job: Job, cpus: Collection[int]) -> Iterator[str]:
    """An API server on these processors; its URL."""
    listed, stopping = json.dumps(slices(job)).encode(), threading.Event()
    bookmark = json.dumps({"type": "BOOKMARK", "object": {"kind": "EndpointSlice", **_VERSION}}).encode() + b"\n"

    class ApiServer(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the library gives the name
            """Answer a list, or a watch: nothing ever changes."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if "watch=true" not in self.path:
                self.send_header("Content-Length", str(len(listed)))
                self.end_headers()
                self.wfile.write(listed)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while not stopping.wait(_BOOKMARK_INTERVAL):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(bookmark), bookmark))

    try:
        with served(ApiServer, cpus) as url:
            yield url
    finally:
        stopping.set()


class _Discovering(Splicer):
    """splicer that knows the pods by discovery alone."""

    def configure(self) -> Sequence[str]:
        """Write its configuration."""
        command = super().configure()
        path = Path(command[-1])
        text, by_name = path.read_text(encoding="utf-8"), f'"{{pod}}.{self.job.domain}:{self.job.port}"'
        found = f'"{{pod}}.{_SERVICE}.{_NAMESPACE}.svc.bench:{self.job.port}"\ndiscovery = "kubernetes"'
        path.write_text(text.replace(by_name, found), encoding="utf-8")
        return command

    def await_pods(self) -> None:
        """Wait until it has the pods from the API server.

        Raises:
            PeerFailed: it has not.
        """
        ends = time.monotonic() + _SYNC_TIMEOUT
        while time.monotonic() < ends:
            with urllib.request.urlopen(f"http://{at(self.admin)}/upstreams", timeout=_SYNC_TIMEOUT) as answer:
                if b'"kubernetes"' in answer.read():
                    return
            time.sleep(0.05)
        raise PeerFailed(f"no pods are known after {_SYNC_TIMEOUT:.0f} s")


class Discovered(Checkout):
    """splicer of this checkout, with discovery.

    Args:
        name: see `Checkout`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, ROOT)

    @contextmanager
    def running(self, job: Job, cpus: Collection[int]) -> Iterator[Splicer]:
        """Run it; see `Peer.running`."""
        others = os.sched_getaffinity(0) - set(cpus) or os.sched_getaffinity(0)
        with (
            _api_server(job, others) as url,
            home_of(self.name) as home,
            _Discovering(self.name, job, home, cpus, extra=f'\n[kubernetes]\napi = "{url}"\n') as proxy,
        ):
            proxy.await_pods()
            yield proxy


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code: 0; 1: the law is broken, or nothing could be measured; 2: wrong usage; 130: interrupted.
    """
    options = _options(arguments)
    peers = [Checkout(BEFORE, ROOT), Discovered(AFTER)]
    wanted = [scenario for name, scenario in scenarios.ALL.items() if name in (options.scenarios or _USUAL)]
    try:
        with interruptible():
            run = Run(Options(wanted, peers, options.pairs, options.seconds, quick=True), bar := progress())
            try:
                run.execute()
            finally:
                bar.end()
        found = rows(run.report())
    except KeyboardInterrupt:
        return INTERRUPTED
    except (NoPairs, TrafficFailed, OSError) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    broken = any(row.name == _CALL and row.dearer for row in found)
    sys.stdout.write(f"{options.pairs} pairs of rounds of {options.seconds:g} s; medians in us\n")
    sys.stdout.write(f"{'':30}{'DNS cache':>10}{'discovery':>10}  discovery / DNS cache (95 %)\n")
    sys.stdout.writelines(f"{row}\n" for row in found)
    sys.stdout.write(f"a new call takes no more: {'BROKEN' if broken else 'kept'}\n")
    return 1 if broken else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.discovery_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(scenarios.ALL)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {known}; else {', '.join(_USUAL)}")
    parser.add_argument("--pairs", type=int, default=20, help="of rounds of each scenario (20)")
    parser.add_argument("--seconds", type=seconds, default=2.0, help="of a round (2)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.scenarios if name not in scenarios.ALL]:
        parser.error(f"no scenario {unknown[0]!r}; there are {known}")
    if options.pairs < LEAST_PAIRS:
        parser.error(f"at least {LEAST_PAIRS} pairs")
    return options


if __name__ == "__main__":
    sys.exit(main())
