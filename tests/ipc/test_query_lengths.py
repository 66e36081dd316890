"""No answer is longer than its reader takes: the longest rows there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from attrs import evolve

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from splicer.ipc import wire
from splicer.ipc.queries import AskCounts, AskEndpoints, AskPlaces, AskTunnels, CloseTunnel
from splicer.ipc.query import Answers, answer_queries
from splicer.model import Endpoint
from splicer.net.resolve import Resolver
from splicer.observe import endpoint_rows, tunnel_rows
from splicer.observe.tunnel_choice import TunnelRates
from splicer.record import AttemptOutcome
from splicer.upstream.source import NameSource
from splicer.upstream.status import EndpointStates
from splicer.vault.protocol import channel
from tests.ipc.asker import Asker, asking, row
from tests.kit.descriptors import none_left_open
from tests.observe.still import StillRelay, record, still

_MAX_BYTES = 64 * 1024  # bytes of a packet (ipc.wire)


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    with none_left_open():
        yield


_HOSTS = [f"{number:03}" + ".".join([number_text * 50 for number_text in "abcde"])[:250] for number in range(300)]


def _config(name: str) -> Config:
    """One route and one upstream, both of this name."""
    return load(
        f"""
[upstreams.{json.dumps(name, ensure_ascii=False)}]
address = "{{pod}}.pods.test:8000"

[[routes]]
name = {json.dumps(name, ensure_ascii=False)}
regex = '^/(?<pod>[^/]+)$'
upstream = {json.dumps(name, ensure_ascii=False)}
""",
        environ={},
    )


async def _all_answers(config: Config, nursery: trio.Nursery, client: str, protocol: str) -> Answers:
    [route], [upstream] = config.routes, config.upstreams
    relay, states = StillRelay(), EndpointStates()
    for number, host in enumerate(_HOSTS):
        address = f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{number + 0x1000:x}"
        attempt = AttemptOutcome(upstream, f"[{address}]:65535", "handshake_deadline", pod=host)
        one = record(
            number,
            client=client,
            path="/" + "x" * 30_000,
            route=route.name,
            upstream=upstream,
            protocol=protocol,
            endpoint=Endpoint(host, address, 65535),
            attempts=[attempt],
        )
        states.learn(attempt)
        relay.shown.append(still(evolve(one, started=-1e9)))
        relay.shown[-1].to_pod = relay.shown[-1].to_client = 1 << 60
    loads = cast("Any", SimpleNamespace(calls=lambda _: 1 << 60, live=lambda _: 1 << 61))
    source = NameSource(Resolver(config.resolver, nursery=nursery, lifetime=1.0))
    return {
        AskTunnels: lambda question: tunnel_rows.tunnels(relay, 250, question, TunnelRates(relay)),
        AskPlaces: lambda _: tunnel_rows.places(relay),
        AskCounts: lambda _: tunnel_rows.counts(relay, 250),
        AskEndpoints: lambda _: endpoint_rows.endpoints(states, config, source, loads, StillRelay()),
    }


async def _law(
    config: Config, nursery: trio.Nursery, client: str = "2001:db8::ffff", protocol: str = "websocket"
) -> None:
    async with asking(await _all_answers(config, nursery, client, protocol)) as (asker, _):
        for what, count in (
            (AskTunnels, len(_HOSTS)),
            (AskPlaces, len(_HOSTS)),
            (AskEndpoints, len(_HOSTS)),
            (AskCounts, 20),
        ):
            asker.ask(what)
            _, rows = await asker.answer()
            assert len(rows) == count
        assert max(asker.sizes) <= _MAX_BYTES


@pytest.mark.parametrize("name", ["call", "x" * 100, "ü" * 100, "😀" * 100])
async def test_no_packet_is_longer_than_its_reader_takes(nursery: trio.Nursery, name: str) -> None:
    await _law(_config(name), nursery)


# Whatever is refused: a name that the configuration accepts must not make a worker's answers unreadable.
@pytest.mark.parametrize("name", ["x" * 5000, "ü" * 500])
async def test_a_name_is_refused_or_its_packets_can_be_read(nursery: trio.Nursery, name: str) -> None:
    try:
        config = _config(name)
    except ConfigError:
        return
    await _law(config, nursery)


async def test_no_text_from_outside_is_too_long_for_a_packet(nursery: trio.Nursery) -> None:
    """Whoever lets one through."""
    await _law(_config("call"), nursery, client="fe80::1%" + "z" * 31_000, protocol="ü" * 31_000)


async def test_rows_that_are_together_too_long_for_a_packet_come_in_several() -> None:
    rows = [row(number, 10_000) for number in range(33)]
    async with asking({CloseTunnel: lambda _: iter([rows])}) as (asker, _):
        asker.ask()
        assert await asker.answer() == (1, rows)
        assert max(asker.sizes) <= _MAX_BYTES


async def test_a_row_that_is_too_long_is_left_out_and_told_of() -> None:
    told: list[Exception] = []
    answers: Answers = {CloseTunnel: lambda _: iter([rows])}
    rows = [row(1), row(2, 70_000), row(3)]
    ours, its = channel()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_queries, its, answers, told.append)
            asker = Asker(ours)
            asker.ask()
            assert await asker.answer() == (1, [row(1), row(3)])
            nursery.cancel_scope.cancel()
    assert [type(error) for error in told] == [wire.TooLong]
