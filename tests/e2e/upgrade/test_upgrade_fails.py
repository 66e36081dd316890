"""An upgrade that fails: the old code goes on."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, nullcontext

import pytest
import trio

from tests.e2e.upgrade.code import RAISES, Code
from tests.e2e.upgrade.upgrading import at_rest, events, talking, upgrade
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import several
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site, free_port
from tests.kit.wire import ask, until
from tests.kit.workers import worker_pids


async def fails(edge: Edge, place: Place, *words: str, broken: AbstractContextManager[None] | None = None) -> None:
    """Nothing changes, and the log says why.

    Args:
        edge: to be upgraded.
        place: of a pod that echoes.
        words: in what the log says.
        broken: changes the code; not before the spare is there, which would fail, too.
    """
    await at_rest(edge)
    before = worker_pids(edge.pid)
    async with talking(edge, place):
        with broken or nullcontext():
            assert events(await upgrade(edge)) == {"upgrade_fault", "upgrade_failed"}
        [failed] = edge.find("upgrade_failed")
        assert failed["kept"] == "the old code"
        faults = " ".join(line["fault"] for line in edge.find("upgrade_fault"))
        assert all(word in faults for word in words), faults
        assert worker_pids(edge.pid) == before
        assert (await ask(edge.address, "GET", "/nowhere")).body == b"404 Not Found\n"


@pytest.mark.slow
async def test_a_broken_file(edge: Edge, place: Place) -> None:
    good = edge.path.read_text()
    edge.write(good.replace("workers", "workrs"))
    await fails(edge, place, "workrs", str(edge.path))
    edge.write(good)
    assert events(await upgrade(edge)) == {"upgrade", "upgraded"}


async def test_code_that_can_not_be_imported(edge: Edge, place: Place, code: Code) -> None:
    broken = code.changed({"worker/worker.py": ("\nimport os\n", f"\nimport os\n{RAISES}")})
    await fails(edge, place, "worker", broken=broken)
    assert "RuntimeError: a bug" in edge.take_stderr()


async def test_a_worker_that_can_not_be_prepared(edge: Edge, place: Place, code: Code) -> None:
    line = "        prepared = await self._read(fd)\n"
    await fails(edge, place, "worker", broken=code.changed({"worker/worker.py": (line, f"        {RAISES}{line}")}))
    assert "RuntimeError: a bug" in edge.take_stderr()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("supervisor.py", "import os"),
        ("upgrade.py", "import os"),
        ("__main__.py", "import os"),
    ],
)
async def test_a_supervisor_that_can_not_be_imported(
    own_edge: Edge, own_place: Place, own_code: Code, path: str, line: str
) -> None:
    """The exec comes later: it must not be the first one to find out."""
    broken = own_code.changed({f"supervisor/{path}": (f"\n{line}\n", f"\n{line}\n{RAISES}")})
    await fails(own_edge, own_place, broken=broken)
    own_edge.take_stderr()


@pytest.mark.slow
async def test_an_admin_process_that_can_not_be_imported(own_code: Code, nursery: trio.Nursery) -> None:
    """No call needs it: it is told of, and comes when it can."""
    site = Site(pods=2)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    with running(several(site, admin=f"127.0.0.1:{free_port()}"), site, code=own_code.directory) as edge:
        async with talking(edge, place) as talk:
            with own_code.changed({"admin/process.py": ("\nfrom __future__ import annotations\n", f"\n{RAISES}")}):
                await upgrade(edge)
                await talk.goes_on()
            await until(lambda: "splicer: admin" in [title for _, title in session_of(edge.pid)])
        edge.take_stderr()


async def test_two_versions_ahead(edge: Edge, place: Place, code: Code) -> None:
    broken = code.changed({"supervisor/state.py": code.ahead("supervisor/state.py", 2)})
    await fails(edge, place, "version", broken=broken)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["vault/protocol.py", "ipc/wire.py"])
async def test_two_versions_of_the_messages_ahead(own_edge: Edge, own_place: Place, own_code: Code, path: str) -> None:
    """The workers that live would not be understood."""
    broken = own_code.changed({path: own_code.ahead(path, 2)})
    await fails(own_edge, own_place, "version", broken=broken)


@pytest.mark.slow
async def test_an_address_that_is_taken(own_edge: Edge, own_place: Place) -> None:
    """The new file listens where somebody else does: the old address must not be given up for it."""
    edge, good = own_edge, own_edge.path.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        edge.write(good.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        try:
            await fails(edge, own_place, "in use")
        finally:
            edge.write(good)
