"""The repository's own routing.toml, with nothing changed but addresses, and the cluster that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from attrs import define

from tests.kit.apiserver import ApiServer
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge, running
from tests.kit.pods import Answer, Handler, Pod, echo_messages, http_pod, raw_pod, tunnel_pod, ws_pod
from tests.kit.site import Site

HOST = "clairvoyance.breezelabs.app"
_ROUTING = Path(__file__).parents[2] / "routing.toml"
_NAMES = {
    "smart-router.voice-system.svc.cluster.local": "200",
    "clairvoyance.default.svc.cluster.local": "201",
    **{f"voice-agent-{n}.voice-agent.voice-system.svc.cluster.local": str(10 + n) for n in range(5)},
}


@contextmanager
def guide_edge(api: ApiServer | None = None) -> Iterator[Edge]:
    """The edge of the guide's cluster; its name server, and its API server, are those that its environment names."""
    site = Site()
    text = _ROUTING.read_text()
    environ = {"DNS_SERVER": f"{site.net}.250:{site.port}"}
    if api is not None:
        environ |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
        text += f'[kubernetes]\ntoken_file = "{api.token_file}"\nca_file = "{api.ca_file}"\n'
    for old, new in (
        (r"^listen = .*$", 'listen = "127.0.0.1:0"'),
        (r"^admin = .*$", 'admin = "off"'),
        (r"^metrics = .*$", 'metrics = "off"'),
        (r"^allow = .*\n", ""),
        (r'^(address = ".*):\d+"(.*)$', rf'\1:{site.port}"\2\nallow = ["127.0.0.0/8"]'),
    ):
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count
    with running(text, site, environ=environ) as edge:
        yield edge


@define
class Cluster:
    """The name server and the pods, as far as a test starts them."""

    site: Site
    nursery: trio.Nursery
    dns: DnsServer

    @classmethod
    async def start(cls, site: Site, nursery: trio.Nursery) -> Cluster:
        dns = await DnsServer.start(nursery, f"{site.net}.250", site.port)
        for name, last in _NAMES.items():
            dns.set(name, f"{site.net}.{last}")
        dns.set("voice-agent.voice-system.svc.cluster.local", *(f"{site.net}.{10 + n}" for n in range(5)))
        return cls(site, nursery, dns)

    async def router(self, answer: Answer | bytes | None = None) -> Pod:
        return await self._http("200", answer)

    async def application(self, answer: Answer | bytes | None = None) -> Pod:
        return await self._http("201", answer)

    async def application_calls(self) -> Pod:
        return await ws_pod(self.nursery, f"{self.site.net}.201", self.site.port, echo_messages)

    async def agent(self, number: int, answer: Answer | bytes | None = None) -> Pod:
        """voice-agent-N, for plain HTTP."""
        return await self._http(str(10 + number), answer)

    async def agent_calls(self, number: int) -> Pod:
        """voice-agent-N, for calls: it echoes every message."""
        return await ws_pod(self.nursery, self.address(number), self.site.port, echo_messages)

    async def agent_tunnels(self, number: int) -> Pod:
        """voice-agent-N, for calls: it echoes every byte."""
        return await tunnel_pod(self.nursery, self.address(number), self.site.port)

    async def agent_raw(self, number: int, handle: Handler) -> Pod:
        """voice-agent-N, with a will of its own."""
        return await raw_pod(self.nursery, self.address(number), self.site.port, handle)

    def address(self, number: int) -> str:
        return f"{self.site.net}.{10 + number}"

    async def _http(self, last: str, answer: Answer | bytes | None) -> Pod:
        return await http_pod(self.nursery, f"{self.site.net}.{last}", self.site.port, answer)
