"""Warnings about the upstreams of a valid routing.toml."""

from __future__ import annotations

from collections.abc import Iterator

from splicer.config.fixed_hosts import fixed_addresses
from splicer.config.reader import toml_key
from splicer.config.scalars import show
from splicer.config.schema import Config, KubernetesSettings
from splicer.model import Upstream

# Second-level domains below which countries' registries sell names. The Public Suffix List has thousands more, and
# grows; this is only a hint: `allow` is what keeps an edge from dialling strangers' hosts.
_REGISTRIES = frozenset(("ac", "co", "com", "edu", "go", "gob", "gov", "ltd", "ne", "net", "nom", "or", "org", "sch"))


def upstream_warnings(config: Config) -> Iterator[str]:
    """One line for each warning, with its upstream, key and remedy."""
    yield from _own_connections(config)
    for upstream in config.upstreams.values():
        place = f"upstreams.{toml_key(upstream.name)}"
        if not upstream.host.captures:
            yield from _one_label(place, upstream.host.text, config)
            continue
        yield from _public_suffix(place, upstream)
        if upstream.allow is None:
            yield (
                f"{place}.allow: is missing: the URL chooses the name, and whatever address that has is dialled; "
                'write the networks of your pods, such as allow = ["10.0.0.0/8"]'
            )
    if config.kubernetes != KubernetesSettings() and all(each.service is None for each in config.upstreams.values()):
        yield 'kubernetes: no upstream has discovery = "kubernetes"'


def _own_connections(config: Config) -> Iterator[str]:
    """Plain HTTP to pods that get a PROXY header: it names one client, so a connection is for one request."""
    for route in config.routes:
        for upstream in dict.fromkeys((*route.upstreams, *([route.fallback] if route.fallback else []))):
            if upstream.proxy_protocol is not None and not route.upgrade_only:
                yield (
                    f"upstreams.{toml_key(upstream.name)}.proxy_protocol: a connection is one client's, so each plain "
                    f"request of routes {route.index} {show(route.name)} has one of its own"
                )


def _one_label(place: str, host: str, config: Config) -> Iterator[str]:
    """A host without a dot. One that ends in a dot gives no warning: it is written as an absolute name on purpose."""
    if "." not in host and not fixed_addresses(host, config.resolver.hosts):
        yield (
            f"{place}.address: {show(host)} is asked for as it stands, without a search list; "
            f"write the full name, such as {host}.NAMESPACE.svc.cluster.local, or name it in [resolver.hosts]"
        )


def _public_suffix(place: str, upstream: Upstream) -> Iterator[str]:
    domain = upstream.host.text.rpartition("}")[2].partition(".")[2]
    first, _, rest = domain.removesuffix(".").lower().partition(".")
    if not rest or (first in _REGISTRIES and len(rest) == 2):
        yield (
            f"{place}.address: names below {show(domain)} are anybody's, and the URL chooses among them; "
            'put a domain of your own behind the capture, such as "{pod}.voice-agent.svc.cluster.local"'
        )
