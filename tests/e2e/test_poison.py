"""A frame on which the C extension crashes takes two workers at most, and no call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit import extension
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, patched, several, tunnel_at
from tests.kit.site import Place, Site
from tests.kit.wire import until
from tests.kit.workers import worker_pids

_POISON = bytes(666)
_CODE = """
from tests.kit import extension
extension.load({library!r})
"""


def _crashes(source: str) -> str:
    filled = "  if (filled < 0) return"
    assert filled in source
    return source.replace(filled, f"  if (filled == {len(_POISON)}) __builtin_trap();\n{filled}")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    library = extension.build(tmp_path_factory.mktemp("extension"), change=_crashes)
    environ = patched(tmp_path_factory.mktemp("patch"), _CODE.format(library=str(library)))
    site = Site()
    with running(several(site), site, environ=environ) as edge:
        yield edge


async def test_after_two_crashes_python_moves_that_call(edge: Edge, place: Place) -> None:
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/bad") as bad,
        tunnel_at(edge, 1, f"/ws/{place.name}/good") as good,
    ):
        for _ in range(10):  # a worker's very first frame is Python's, which has to make its pipes
            await echoes(bad, _POISON)
            if len(edge.find("worker_died")) == 2:
                break
            await trio.sleep(0.2)  # its death may not have been told yet
        lines = await edge.expected(2, "worker_died")
        assert {line["reason"] for line in lines} <= {"SIGILL", "SIGTRAP", "SIGABRT"}
        await until(lambda: set(worker_pids(edge.pid)) == {1, 2})
        await echoes(good)
        before = worker_pids(edge.pid)
        for _ in range(3):
            await echoes(bad, _POISON)
            await echoes(good)
        assert worker_pids(edge.pid) == before
        assert not edge.find("worker_died")
