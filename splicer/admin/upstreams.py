"""The upstreams, and what the workers know of their endpoints."""

from __future__ import annotations

from splicer.config.schema import Config
from splicer.ipc.wire import Message
from splicer.model import Upstream


def listed(config: Config, rows: list[Message]) -> list[Message]:
    """All upstreams, each with its endpoints.

    Args:
        config: the one in force.
        rows: what the workers answered to "endpoints".
    """
    merged: dict[str, dict[tuple[str, str, int], Message]] = {name: {} for name in config.upstreams}
    for row in rows:
        endpoints = merged.get(row["upstream"])
        if endpoints is not None:
            key = row["pod"], row["address"], row["port"]
            endpoints[key] = _merged(endpoints[key], row) if key in endpoints else row
    return [_upstream(upstream, merged[name]) for name, upstream in config.upstreams.items()]


def newer(one: Message, other: Message) -> Message:
    """What two workers know of an endpoint: each knows only its own attempts, and who learned last knows best."""
    return one if _age(one) <= _age(other) else other


def _merged(one: Message, other: Message) -> Message:
    return {**newer(one, other), "tunnels": one["tunnels"] + other["tunnels"]}


def _age(row: Message) -> float:
    return float("inf") if row["state"] == "unknown" or row["since_s"] is None else row["since_s"]


def _upstream(upstream: Upstream, endpoints: dict[tuple[str, str, int], Message]) -> Message:
    return {
        "name": upstream.name,
        "address": upstream.text,
        "balance": upstream.balance,
        "allow": None if upstream.allow is None else [str(network) for network in upstream.allow],
        "endpoints": [
            {key: value for key, value in endpoints[place].items() if key != "upstream"} for place in sorted(endpoints)
        ],
    }
