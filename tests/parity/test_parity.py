"""The real proxies beside splicer with the imported file: the same requests, the same pods, some of them failing.

Each difference must be declared in `differences.toml`, and each of those must occur.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml
from attrs import frozen

from splicer.comparison.questions import STRANGER, Question, paths_of, questions
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.importer.run import Options, run_import
from splicer.importer.toml import value_text
from tests.kit.dns_server import DnsServer
from tests.kit.edge import running
from tests.kit.pods import Handler
from tests.kit.site import Site, free_port
from tests.parity.differences import Ledger
from tests.parity.peers import envoy, envoy_command, nginx, nginx_command
from tests.parity.pods import busy, closing, serve, silent, telling
from tests.parity.probe import Probe, Seen, probe

pytestmark = [pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "docs/examples/migrate"
SOURCES = Path(__file__).parent / "sources"
DOMAIN = "voice-agent.voice-system.svc.cluster.local"
SILENCE = "12s"  # how long a proxy waits for a silent pod: long, for a busy machine is silent for a while too
_AT_ONCE = 8
_LEDGER = Ledger()
_RAN: set[str] = set()


@frozen
class World:
    """Pods at addresses of their own, a name server that knows them, and where both proxies listen.

    Args:
        site: the network.
        pods: by name, each with its address and what it does; None: nobody listens.
        dns: the name server.
        port: of the other proxy.
    """

    site: Site
    pods: dict[str, tuple[str, Handler | None]]
    dns: DnsServer
    port: int

    def at(self, name: str) -> str:
        return f"{self.pods[name][0]}:{self.site.port}"


def pods_of(site: Site) -> dict[str, tuple[str, Handler | None]]:
    kinds: dict[str, Handler | None] = {
        "voice-agent-0": telling("voice-agent-0"),
        "voice-agent-1": None,
        "voice-agent-2": busy,
        "voice-agent-3": silent,
        "voice-agent-4": closing,
        "voice-agent": telling("voice-agent"),
        "smart-router": telling("smart-router"),
        "clairvoyance": telling("clairvoyance"),
    }
    return {name: (site.take().address, kind) for name, kind in kinds.items()}


async def world(nursery: trio.Nursery) -> World:
    site = Site()
    pods = pods_of(site)
    dns = await DnsServer.start(nursery)
    for name, (address, _) in pods.items():
        dns.set(
            f"{name}.{DOMAIN}" if name.startswith("voice-agent-") else DOMAIN if name == "voice-agent" else f"{name}.x",
            address,
        )
    await serve(nursery, site.port, pods)
    return World(site, pods, dns, free_port())


# ---- sources, with the test's addresses put in ----


def nginx_text(here: World, name: str) -> str:
    text = (EXAMPLES / name).read_text()
    for before, after in (
        ("pid /tmp/nginx.pid;", ""),
        ("error_log stderr warn;", ""),
        ("access_log /dev/stdout main;", "access_log off;"),
        ("listen 8080", f"listen 127.0.0.1:{here.port}"),
        ("smart-router:8080", here.at("smart-router")),
        ("clairvoyance.default.svc.cluster.local:80", here.at("clairvoyance")),
        (":8000", f":{here.site.port}"),
        ("${KUBE_DNS_IP}", "34.118.224.10"),
        ("34.118.224.10", f"127.0.0.1:{here.dns.port}"),
        ("3600s", SILENCE),
        ("30s", SILENCE),
    ):
        text = text.replace(before, after)
    return text


def features_conf(here: World) -> str:
    text = (SOURCES / "features.conf").read_text()
    return text.replace("PORT", str(here.port)).replace("POD", here.at("voice-agent-0"))


def envoy_text(here: World) -> str:
    bootstrap = yaml.safe_load(
        (EXAMPLES / "guide-envoy.yaml").read_text().replace("3600s", SILENCE).replace("30s", SILENCE)
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": here.dns.port}}
    kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    bootstrap["typed_dns_resolver_config"] = {"name": "cares", "typed_config": {"@type": kind, "resolvers": [address]}}
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = free_port()
    for cluster in bootstrap["static_resources"]["clusters"]:
        socket = _socket(cluster)
        socket["port_value"] = here.site.port
        if cluster["name"] == "smart_router":
            socket["address"] = "smart-router.x"
    return _listening(bootstrap, here)


def features_yaml(here: World) -> str:
    bootstrap = yaml.safe_load((SOURCES / "features.yaml").read_text())
    names = {
        "pod": "voice-agent-0",
        "dead": "voice-agent-1",
        "busy": "voice-agent-2",
        "silent": "voice-agent-3",
        "closing": "voice-agent-4",
    }
    for cluster in bootstrap["static_resources"]["clusters"]:
        socket = _socket(cluster)
        socket["address"], socket["port_value"] = here.pods[names[cluster["name"]]][0], here.site.port
    return _listening(bootstrap, here)


def _socket(cluster: dict[str, Any]) -> dict[str, Any]:
    [group] = cluster["load_assignment"]["endpoints"]
    socket: dict[str, Any] = group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    return socket


def _listening(bootstrap: dict[str, Any], here: World) -> str:
    socket = bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]
    socket["address"], socket["port_value"] = "127.0.0.1", here.port
    text: str = yaml.safe_dump(bootstrap, sort_keys=False)
    return text


def imported(kind: str, text: str, here: World, directory: Path) -> str:
    """The imported file, with addresses of the test."""
    path = directory / f"source.{'conf' if kind == 'nginx' else 'yaml'}"
    path.write_text(text)
    tables = tomllib.loads(run_import(kind, [str(path)], Options()).text)
    tables["server"] = {"listen": "127.0.0.1:0", "admin": "off"}
    tables.setdefault("resolver", {})["nameservers"] = [f"127.0.0.1:{here.dns.port}"]
    tables.setdefault("deadlines", {})["resolve"] = "30s"  # the name server is in the test's own process
    for upstream in tables["upstreams"].values():
        upstream["allow"] = ["127.0.0.0/8"]
    return "\n".join(f"{name} = {value_text(table).replace('$${', '${')}" for name, table in tables.items())


# ---- requests ----


def probes(config: Config) -> Iterator[Probe]:
    """Requests of the file's own patterns, in other spellings, with a query, a body, as a call, to failing pods."""
    asked = {question: None for question in questions(config) if question.scheme == "http"}
    yield from map(Probe, asked)
    for route in config.routes:
        first = next(iter(paths_of(route)), "/")
        host = route.hosts[0].replace("*.", "any.") if route.hosts else STRANGER
        fields = ((b"X-B", b"b"), (b"X-Tier", b"gold"))
        yield Probe(Question("GET", host, first, None, fields), upgrade=True)
        yield Probe(Question("POST", host, first, "a=%20b&c", fields), body=b"0123456789abc")
        for other in spellings(first):
            yield Probe(Question("GET", host, other, None, fields))


def spellings(path: str) -> Iterator[str]:
    head, _, last = path.rstrip("/").rpartition("/")
    yield f"{path}%20%2Fa"
    if last:
        yield f"{head}/%{ord(last[0]):02x}{last[1:]}{'/' if path.endswith('/') else ''}"
        yield f"{head}//{last}{'/' if path.endswith('/') else ''}"


def failing(prefixes: tuple[str, ...]) -> Iterator[Probe]:
    for prefix in prefixes:
        for number in range(6):
            path = f"{prefix}voice-agent-{number}/a/b"
            yield Probe(Question("GET", "clairvoyance.breezelabs.app", path, "q=1"))
            yield Probe(Question("GET", "clairvoyance.breezelabs.app", path), upgrade=True)


async def asked(address: tuple[str, int], wanted: list[Probe]) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def one(each: Probe) -> None:
        async with limit:
            seen[each.text] = await probe(address, each)

    async with trio.open_nursery() as nursery:
        for each in wanted:
            nursery.start_soon(one, each)
    return seen


async def compare(kind: str, text: str, here: World, directory: Path, more: list[Probe]) -> None:
    made = imported(kind, text, here, directory)
    wanted = list({each.text: each for each in (*probes(load(made, environ={})), *more)}.values())
    peer = (nginx if kind == "nginx" else envoy)(text, ("127.0.0.1", here.port))
    async with peer:
        theirs = await asked(("127.0.0.1", here.port), wanted)
    with running(made, here.site) as edge:
        ours = await asked(edge.address, wanted)
    faults = [
        fault for each in wanted for fault in _LEDGER.undeclared(kind, each.text, theirs[each.text], ours[each.text])
    ]
    kinds: dict[str, list[str]] = {}
    for told, request in faults:
        kinds.setdefault(told, []).append(request)
    lines = [f"{told}\n    {len(each)} requests: {', '.join(each[:3])}" for told, each in kinds.items()]
    assert not faults, f"{len(faults)} differences of {len(wanted)} requests:\n" + "\n".join(lines)
    assert len(wanted) > 100


need_nginx = pytest.mark.skipif(nginx_command() is None, reason="nginx is not installed")
need_envoy = pytest.mark.skipif(envoy_command() is None, reason="Envoy is not installed; it is in the group bench")


@need_nginx
@pytest.mark.parametrize("name", ["guide-nginx.conf", "production-nginx.conf"])
async def test_nginx(name: str, tmp_path: Path, nursery: trio.Nursery) -> None:
    here = await world(nursery)
    await compare("nginx", nginx_text(here, name), here, tmp_path, list(failing(("/ws/pod/", "/"))))
    _RAN.add(name)


@need_nginx
async def test_nginxs_features(tmp_path: Path, nursery: trio.Nursery) -> None:
    here = await world(nursery)
    await compare("nginx", features_conf(here), here, tmp_path, [])
    _RAN.add("features.conf")


@need_envoy
async def test_envoy(tmp_path: Path, nursery: trio.Nursery) -> None:
    here = await world(nursery)
    await compare("envoy", envoy_text(here), here, tmp_path, list(failing(("/ws/pod/", "/"))))
    _RAN.add("guide-envoy.yaml")


@need_envoy
async def test_envoys_features(tmp_path: Path, nursery: trio.Nursery) -> None:
    here = await world(nursery)
    await compare("envoy", features_yaml(here), here, tmp_path, [])
    _RAN.add("features.yaml")


def test_every_declared_difference_occurs() -> None:
    if len(_RAN) < 5:
        pytest.skip("not all comparisons have run in this process")
    assert {each.name for each in _LEDGER.declared} - _LEDGER.seen == set()
