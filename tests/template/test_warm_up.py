"""What is done before the first fork."""

from __future__ import annotations

from splicer.config.load import load
from splicer.ipc import codec
from splicer.ipc.messages import WorkerOrder
from splicer.template import warm_up as module
from splicer.template.warm_up import warm_up


def test_its_configuration_is_one() -> None:
    config = load(module._CONFIG, name="routing.toml", environ={})
    assert [route.name for route in config.routes] == ["pod", "all"]


def test_no_process_compiles_the_readers_of_its_orders_again() -> None:
    warm_up()
    before = codec._dataclass_reader.cache_info().misses
    for cls in WorkerOrder.KINDS.values():
        codec.compile_reader(cls)
    assert codec._dataclass_reader.cache_info().misses == before
