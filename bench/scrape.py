"""Measure a scrape, and the delay that it causes to calls: 1,000 tunnels to 1,000 pods, two workers.

    python -m bench.scrape [--pods 1000] [--scrapes 50] [--seconds 5]

Takes a minute and a half on an idle machine.

- GET /metrics and GET /tunnels, one after the other, on a kept connection: the time and the size of the response. A
  scrape is computed once a second at most, so there is a pause before each.
- Frames to the pod and back, in 16 more tunnels: their latency without scrapes, and with ten scrapes a second.

The law: 95 of 100 scrapes take less than 100 ms. If it is broken, the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from statistics import quantiles

from bench.arguments import Parser
from bench.peers.base import Address
from bench.peers.splicer import ROOT, Splicer
from bench.peers.template import home_of
from bench.site import Site, opened

_MAX_SCRAPE_SECONDS = 0.1  # seconds
_WORKERS = 2
_TALKERS = {"tunnels": 16, "rate": 50, "bytes": 160}  # 20 ms of telephone speech, 8 bit
_POLL_INTERVAL = 0.1  # seconds between two requests
_SCRAPE_MAX_AGE_SECONDS = 1.1  # seconds after which a scrape is computed again
_TIMEOUT = 10.0  # time limit of one request, seconds
_SHOWN = {"p50": "p50", "p99": "p99", "longest": "max"}


def _get(line: HTTPConnection, path: str) -> tuple[bytes, float]:
    """The response, and the seconds until it was complete."""
    begun = time.perf_counter()
    line.request("GET", path)
    answer = line.getresponse()
    body = answer.read()
    lasted = time.perf_counter() - begun
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {body.decode(errors='replace')}")
    return body, lasted


def _looks(admin: Address, path: str, times: int, pause: float = 0.0) -> tuple[bytes, list[float]]:
    """Send some requests; return the last response and the times of all but the first, which is a warm-up."""
    lasted = []
    line = HTTPConnection(*admin, timeout=_TIMEOUT)
    body, _ = _get(line, path)
    for _ in range(times):
        time.sleep(pause)
        body, seconds = _get(line, path)
        lasted.append(seconds)
    line.close()
    return body, lasted


def _frames(site: Site, proxy: Splicer, seconds: float, path: str | None) -> str:
    """The latencies of frames to the pod and back, while a path is requested, or no path is."""
    with site.client("even", proxy.address, {**_TALKERS, "seconds": seconds}, workers=_WORKERS) as client:
        client.wait_ready()
        client.go()
        until = time.perf_counter() + seconds
        line = HTTPConnection(*proxy.admin, timeout=_TIMEOUT)
        while path is not None and time.perf_counter() < until:
            time.sleep(_POLL_INTERVAL - min(_POLL_INTERVAL, _get(line, path)[1]))
        result = client.result()
        line.close()
    took = result["latency_us"]
    told = ", ".join(f"{name} {took[which] / 1e3:7.2f} ms" for name, which in _SHOWN.items())
    return f"{told}; {result['count'] // 2:,} frames, {result['errors'] + result['mismatches']} tunnels lost"


def _summary(times: list[float]) -> str:
    cuts = quantiles(times, n=20, method="inclusive")
    return f"p50 {cuts[9] * 1e3:7.2f} ms, p95 {cuts[18] * 1e3:7.2f} ms, longest {max(times) * 1e3:7.2f} ms"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _measure(site: Site, proxy: Splicer, count: int, scrapes: int, seconds: float) -> bool:
    """Measure, print the figures, and return whether the law is kept."""
    with site.client("idle", proxy.address, {"tunnels": count, "seconds": 1}, pods=count, workers=_WORKERS) as calls:
        calls.wait_ready()
        calls.go()
        calls.result()
        _say(f"{count:,} tunnels to as many pods, {_WORKERS} workers; {scrapes} looks at each page")
        text, scraped = _looks(proxy.admin, "/metrics", scrapes, _SCRAPE_MAX_AGE_SECONDS)
        listing, listed = _looks(proxy.admin, "/tunnels", scrapes)
        if (rows := len(json.loads(listing)["tunnels"])) != count:
            sys.exit(f"{rows} tunnels of {count} are listed")
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        _say(f"  GET /metrics  {_summary(scraped)}; {len(text):,} bytes, {series:,} series")
        _say(f"  GET /tunnels  {_summary(listed)}; {len(listing):,} bytes")
        _say(f"frames to the pod and back in {_TALKERS['tunnels']} tunnels, {seconds:g} s each")
        for path in (None, "/metrics", "/tunnels"):
            _say(f"  {f'GET {path} 10/s' if path else 'no looks':18} {_frames(site, proxy, seconds, path)}")
    kept = quantiles(scraped, n=20, method="inclusive")[18] < _MAX_SCRAPE_SECONDS
    _say(f"p95 of GET /metrics under {_MAX_SCRAPE_SECONDS * 1e3:g} ms: {'kept' if kept else 'BROKEN'}")
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """See above.

    Returns:
        The exit code.
    """
    parser = Parser(
        prog="python -m bench.scrape", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=1000, help="at least 10")
    parser.add_argument("--scrapes", type=int, default=50, help="at least 2")
    parser.add_argument("--seconds", type=float, default=5.0, help="for frames, of each of three rounds")
    options = parser.parse_args(arguments)
    if options.pods < 10 or options.scrapes < 2:
        parser.error("too few pods or scrapes")
    with opened(quick=True, known=options.pods) as site, home_of("scrape") as home:
        cpus = site.processors.proxy(_WORKERS)
        with Splicer("splicer", site.job(options.pods, workers=_WORKERS), home, cpus, ROOT) as proxy:
            return 0 if _measure(site, proxy, options.pods, options.scrapes, options.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
