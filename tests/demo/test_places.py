"""The demo's addresses."""

from __future__ import annotations

from importlib.resources import files

from splicer.config.load import load
from splicer.demo.places import ADMIN, EDGE_HOST, POD_PORT, PODS, ROUTER_HOST, ROUTER_PORT


def test_its_file_has_the_same() -> None:
    config = load(files("splicer.demo").joinpath("routing.toml").read_text(), environ={})
    hosts = dict(config.resolver.hosts)
    domain = "voice-system.svc.cluster.local"
    assert hosts.pop(f"smart-router.{domain}") == (ROUTER_HOST,)
    assert hosts.pop(f"voice-agent.{domain}") == tuple(PODS.values())
    assert hosts == {f"{pod}.voice-agent.{domain}": (host,) for pod, host in PODS.items()}
    ports = {name: upstream.port for name, upstream in config.upstreams.items()}
    assert ports == {"smart-router": ROUTER_PORT, "pod": POD_PORT, "any-pod": POD_PORT}
    assert (str(config.server.admin), config.server.listen[0].address.host) == (ADMIN, EDGE_HOST)
