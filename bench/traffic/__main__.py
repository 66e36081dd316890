"""``python -m bench.traffic MODE …``: pods, or clients."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

from bench.traffic.dial import Address, DialFailed, all_descriptors
from bench.traffic.load import Load
from bench.traffic.pods import Pods, listen
from bench.traffic.protocol import client, quiet
from bench.traffic.wire import LEAST_FRAME

_MODES = {
    "voice": "calls as telephones and pods make them, both ends here",
    "burst": "frames that leave once a millisecond, both ends here",
    "even": "each tunnel sends a frame every so often, evenly spread, and has it back",
    "saturate": "each tunnel sends its next frame when the last has come back",
    "bulk": "long messages, one at a time through each tunnel",
    "handshakes": "new calls, each of which hangs up at its 101",
    "idle": "tunnels that carry one frame",
    "http": "plain requests over kept connections",
    "tls-frames": "frames over TLS at a fixed interval, each of which comes back",
    "tls-handshakes": "new calls over TLS, each with a full handshake",
}
_TUNNELS = (
    ("voice", 200, 320),
    ("burst", 200, 320),
    ("even", 200, 320),
    ("saturate", 100, 160),
    ("bulk", 4, 65536),
    ("idle", 1000, 160),
    ("tls-frames", 100, 320),
)


def main() -> None:
    """See above."""
    options = _arguments()
    descriptors = all_descriptors()
    try:
        if options.mode == "pods":
            _pods(options, descriptors)
        else:
            _client(options)
    except (OSError, DialFailed) as error:
        sys.exit(f"{options.mode}: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.traffic", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("pods", help="echo whatever comes through a tunnel, until standard input ends")
    clients = {mode: modes.add_parser(mode, help=text) for mode, text in _MODES.items()}
    for one in modes.choices.values():
        one.add_argument("host")
        one.add_argument("port", type=int)
        one.add_argument("--processes", type=_some, default=1)
    for one in clients.values():
        one.add_argument("--target", dest="targets", type=lambda path: [path])
        one.add_argument("--targets", type=lambda paths: paths.split(","), help="separated by commas, used in turn")
        one.add_argument("--seconds", type=float, default=2.0)
    for mode, tunnels, size in _TUNNELS:
        clients[mode].add_argument("--tunnels", type=_some, default=tunnels)
        clients[mode].add_argument("--bytes", dest="size", type=_size, default=size, help="of a whole frame")
    for mode in ("voice", "burst", "even", "tls-frames"):
        clients[mode].add_argument("--rate", type=float, default=50.0, help="of each tunnel, a second")
    for mode in ("voice", "burst"):
        clients[mode].add_argument("--listen", type=_addresses, required=True, help="HOST:PORT,… of the pods")
    clients["handshakes"].add_argument("--rate", type=float, default=0.0, help="of all calls; else in a closed loop")
    for mode in ("handshakes", "tls-handshakes", "http"):
        clients[mode].add_argument("--clients", type=_some, default=32)
    return parser.parse_args()


def _some(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def _addresses(text: str) -> tuple[Address, ...]:
    pairs = (one.rpartition(":") for one in text.split(","))
    return tuple((host, int(port)) for host, _, port in pairs)


def _size(text: str) -> int:
    if (number := int(text)) < LEAST_FRAME:
        raise argparse.ArgumentTypeError(f"{LEAST_FRAME} or more")
    return number


def _client(options: argparse.Namespace) -> None:
    load = Load(
        address=(options.host, options.port),
        targets=tuple(options.targets or ["/api/v1/bench" if options.mode == "http" else "/call"]),
        seconds=options.seconds,
        tunnels=getattr(options, "tunnels", 0),
        rate=getattr(options, "rate", 0.0),
        size=getattr(options, "size", 0),
        clients=getattr(options, "clients", 0),
        listen=getattr(options, "listen", ()),
    )
    prepare = importlib.import_module(f"bench.traffic.{options.mode.replace('-', '_')}").prepare
    processes = min(options.processes, load.tunnels or load.clients)
    client(prepare, load.shares(processes), sys.stdin, sys.stdout)


def _pods(options: argparse.Namespace, descriptors: int) -> None:
    listener = listen(options.host, options.port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in range(options.processes - 1):
        if not os.fork():
            break
    quiet()
    Pods(listener, sys.stdin.fileno(), descriptors).run()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
