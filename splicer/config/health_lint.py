"""Warnings about `outlier_detection` in a valid routing.toml."""

from __future__ import annotations

from collections.abc import Iterator

from splicer.config.fixed_hosts import fixed_addresses
from splicer.config.reader import toml_key
from splicer.config.schema import Config
from splicer.model import Upstream


def health_warnings(config: Config) -> Iterator[str]:
    """One line for each warning, with its upstream, key and remedy."""
    first: dict[tuple[str, int], Upstream] = {}
    for upstream in config.upstreams.values():
        if upstream.outlier_detection is None:
            continue
        place = f"upstreams.{toml_key(upstream.name)}.outlier_detection"
        addresses = () if upstream.host.captures else fixed_addresses(upstream.host.text, config.resolver.hosts)
        if len(addresses) == 1:
            yield f"{place}: {addresses[0]} is the only address, so nothing else could be taken; leave the key out"
        other = first.setdefault(_service(upstream), upstream)
        if other.outlier_detection != upstream.outlier_detection:
            yield (
                f"{place}: differs from that of upstreams.{toml_key(other.name)}, which leads to the same pods: each "
                "counts by its own, and both obey what either has ejected; write the same"
            )


def _service(upstream: Upstream) -> tuple[str, int]:
    """What the pods of a name and the name of all pods have in common: the text behind the captures, and the port."""
    text = upstream.host.text.lower().removesuffix(".")
    if upstream.host.captures:
        text = text.rpartition("}")[2].partition(".")[2]
    return text, upstream.port
