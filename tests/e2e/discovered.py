"""An edge whose pods Kubernetes knows: an API server of the test, and a name server that at first knows nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import trio
from attrs import define

from tests.e2e.operator import see_until
from tests.kit.apiserver import ApiServer, Pod, api_server
from tests.kit.calls import handshake
from tests.kit.dns_server import DnsServer
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import several
from tests.kit.http import Message
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import dial, until

ROUTES = """
[upstreams.k-pod]
address = "{pod}.voice-agent.voice.svc.test:PORT"
discovery = "kubernetes"
allow = ["127.0.0.0/8"]
[upstreams.k-any]
address = "voice-agent.voice.svc.test:PORT"
discovery = "kubernetes"
allow = ["127.0.0.0/8"]
[upstreams.k-named]
address = "voice-agent.voice.svc.test:ws"
discovery = "kubernetes"
allow = ["127.0.0.0/8"]
[[routes]]
name = "k"
regex = '^/k/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "k-pod"
rewrite = "{rest}"
[[routes]]
name = "kf"
regex = '^/kf/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "k-pod"
fallback = "k-any"
rewrite = "{rest}"
[[routes]]
name = "any"
prefix = "/any/"
upgrade = ["websocket"]
upstream = "k-any"
[[routes]]
name = "by-port"
prefix = "/named/"
upgrade = ["websocket"]
upstream = "k-named"
"""


@define
class Cluster:
    """An edge and what it knows its pods from."""

    edge: Edge
    api: ApiServer

    @property
    def port(self) -> int:
        return self.edge.site.port

    def sync(self, *pods: Pod) -> None:
        """These are all pods of the Service now."""
        self.api.sync("voice-agent", pods, {"ws": self.port})

    async def settle(self, *pods: Pod) -> None:
        """The same, and wait until the edge knows them."""
        self.sync(*pods)
        names = {pod.name for pod in pods}

        def known(said: Any) -> bool:
            [endpoints] = [each["endpoints"] for each in said["upstreams"] if each["name"] == "k-any"]
            return {each["pod"] for each in endpoints if each["source"] == "kubernetes"} == names

        await see_until(self.edge, "/upstreams", known)

    def discovery(self) -> int | None:
        """The pid of the discovery process; None: there is none."""
        return next((pid for pid, title in session_of(self.edge.pid) if title == "splicer: discovery"), None)

    async def pid(self) -> int:
        """Its pid, once there is one."""
        await until(lambda: self.discovery() is not None)
        pid = self.discovery()
        assert pid is not None
        return pid

    async def synced(self) -> None:
        """Wait until what the API server has is known."""
        await self.edge.line("discovery_synced")

    async def refused(self, target: str) -> Message:
        """The answer to a call that gets no 101."""
        async with dial(self.edge.address) as wire:
            await wire.send(handshake(target))
            return await wire.reply()


def pod(place: Place, *, address: str | None = None, ready: bool = True, terminating: bool = False) -> Pod:
    return Pod(place.name, address or place.address, ready=ready, terminating=terminating)


@contextmanager
def discovering(workers: int = 1, *, tls: bool = True, options: Sequence[str] = ()) -> Iterator[Cluster]:
    """An edge with discovery; `start_dns` gives it a name server."""
    site = Site()
    with api_server(tls=tls) as api:
        text = config(site, api, workers)
        with running(text, site, options=options) as edge:
            yield Cluster(edge, api)


def config(site: Site, api: ApiServer, workers: int = 1) -> str:
    extra = (
        f'[kubernetes]\napi = "{api.url}"\ntoken_file = "{api.token_file}"\nca_file = "{api.ca_file}"\n'
        f'[resolver]\nnameservers = ["{site.net}.250:{site.port}"]\nmax_ttl = "1s"\nipv6 = false\n'
    )
    routes = ROUTES.replace("PORT", str(site.port))
    deadlines = 'resolve = "800ms"\nconnect = "2s"'
    admin = f"127.0.0.1:{free_port()}"
    return several(site, workers, admin=admin, routes=routes, deadlines=deadlines, extra=extra)


async def start_dns(cluster: Cluster, nursery: trio.Nursery) -> DnsServer:
    """The name server that the edge asks."""
    return await DnsServer.start(nursery, f"{cluster.edge.site.net}.250", cluster.port)
