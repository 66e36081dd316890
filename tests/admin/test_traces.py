"""The channels of workers in the admin process."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from splicer.admin.current_config import CurrentConfig
from splicer.admin.traces import Traces, _packets
from splicer.otlp.packets import packet_of
from splicer.otlp.semantics import span_of_call
from splicer.vault.protocol import channel
from tests.admin.rig import Rig, rig
from tests.otlp.samples import EPOCH, call, trace

PACKET = packet_of([span_of_call(call(), trace(), 20.0, EPOCH, "", "a" * 16)])


async def until(traces: Traces, waiting: int) -> None:
    with trio.fail_after(30):
        while traces.exporter.waiting != waiting:  # noqa: ASYNC110 - nothing says so
            await trio.sleep(0.01)


def made(admin: Rig, nursery: trio.Nursery) -> Traces:
    return Traces(nursery, admin.current, {"POD_NAME": "edge-1", "POD_NAMESPACE": "voice"}, admin.logger)


async def test_packets_of_all_workers_are_queued() -> None:
    async with rig() as admin, trio.open_nursery() as nursery:
        traces = made(admin, nursery)
        for slot in (1, 2):
            ours, its = channel()
            traces.listen(slot, ours)
            for _ in range(100):
                its.send(PACKET)
            its.close()
        await until(traces, 200)


async def test_what_a_dead_worker_has_sent_is_read() -> None:
    async with rig() as admin, trio.open_nursery() as nursery:
        traces = made(admin, nursery)
        ours, its = channel()
        its.send(PACKET)
        its.send(PACKET)
        its.close()
        traces.listen(1, ours)
        await until(traces, 2)


async def test_at_the_end_all_channels_are_read_first() -> None:
    async with rig() as admin, trio.open_nursery() as nursery:
        traces = made(admin, nursery)
        ours, its = channel()
        traces.listen(1, ours)
        nursery.start_soon(traces.run)
        await trio.testing.wait_all_tasks_blocked()
        its.send(PACKET)
        its.send(PACKET)
        its.close()
        with trio.fail_after(30):
            await traces.finish()
        assert traces.exporter.waiting == 0
        assert traces.exporter.counts["unreachable"] == 2, "there is no collector"


def test_the_resource_names_the_pod() -> None:
    async def main() -> None:
        async with rig() as admin, trio.open_nursery() as nursery:
            resource = made(admin, nursery).exporter._resource
            assert resource["k8s.pod.name"] == "edge-1"
            assert resource["k8s.namespace.name"] == "voice"
            assert resource["host.name"]
            other = Traces(nursery, CurrentConfig(nursery, Path("x"), {}, admin.logger), {}, admin.logger)
            assert other.exporter._resource.keys() == {"host.name"}

    trio.run(main)


def test_what_was_read_before_an_error_counts() -> None:
    class Broken:
        left = 3

        def recv_into(self, buffer: memoryview) -> int:
            self.left -= 1
            if self.left < 0:
                raise ConnectionResetError
            buffer[: len(PACKET)] = PACKET
            return len(PACKET)

    assert _packets(Broken()) == ([PACKET] * 3, False)  # type: ignore[arg-type]


def test_a_channel_is_read_to_its_end() -> None:
    ours, its = channel()
    for _ in range(3):
        ours.send(PACKET)
    assert _packets(its) == ([PACKET] * 3, None)
    ours.send(PACKET)
    ours.close()
    assert _packets(its) == ([PACKET], False)
    its.close()
