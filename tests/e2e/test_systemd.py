"""What systemd hears of a running edge and of its vault: sd_notify(3)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.kit.calls import tunnel
from tests.kit.edge import running
from tests.kit.fleet import echoes
from tests.kit.pods import patient_echo, tunnel_pod
from tests.kit.site import Site
from tests.kit.vaults import vault_at
from tests.kit.wire import ask, until
from tests.supervisor.manager import Manager, manager_at

_WATCHDOG = "400000"  # microseconds


@pytest.fixture
def manager() -> Iterator[Manager]:
    """At an abstract address."""
    with manager_at() as manager:
        yield manager


async def ready(manager: Manager, times: int) -> None:
    """Wait until it has said so for so many times; what was told between the last two was that it is not."""
    await until(lambda: manager.words.count("READY=1") == times and manager.words[-1] == "READY=1")
    between = " ".join(manager.words).split("READY=1")[times - 1]
    assert set(between.split()) == ({"RELOADING=1"} if times > 1 else set())


@pytest.mark.slow
async def test_a_whole_life(tmp_path: Path, nursery: trio.Nursery) -> None:
    site = Site(pods=1)
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port, patient_echo)
    with (
        manager_at(tmp_path / "notify") as manager,
        running(site.toml(), site, environ={"NOTIFY_SOCKET": manager.name}) as edge,
    ):
        await ready(manager, 1)
        name = f"{edge.address[0]}:{edge.address[1]}"
        await until(lambda: manager.status == f"{name}; 1/1 workers, 0 tunnels")
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            await until(lambda: "1 tunnels" in manager.status)
            await edge.reload("this is no TOML")
            await ready(manager, 2)
            await echoes(call)
            await until(lambda: "the last reload failed" in manager.status)
            edge.signal(signal.SIGUSR2)
            await edge.line("upgrade_failed")
            await ready(manager, 3)
            await echoes(call)
            await edge.reload(site.toml())
            await ready(manager, 4)
            await echoes(call)
            await until(lambda: manager.status == f"{name}; 1/1 workers, 1 tunnels")
            edge.signal(signal.SIGUSR1)
            await edge.line("recycled")
            await ready(manager, 5)
            await echoes(call)
            edge.signal(signal.SIGUSR2)
            await edge.line("upgraded")
            await ready(manager, 6)
            await echoes(call)
            await until(lambda: manager.status == f"{name}; 1/1 workers, 1 tunnels")

            edge.signal(signal.SIGTERM)
            await until(lambda: manager.words[-1] == "STOPPING=1")
            await until(lambda: manager.status.startswith("draining: 1 tunnels"))
            await until(lambda: manager.lines.count("EXTEND_TIMEOUT_USEC=30000000") > 2)
            await echoes(call)
            await call.send_eof()
            assert await call.rest() == b""
        assert await edge.exit_code() == 0
        assert manager.words.count("STOPPING=1") == 1
        assert "WATCHDOG=1" not in manager.lines
        assert manager.pids == {edge.pid}  # a worker that spoke would be taken for an intruder


@pytest.mark.slow
async def test_it_beats_after_an_upgrade_too_until_it_is_stopped(manager: Manager) -> None:
    site = Site(pods=1)
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": _WATCHDOG}
    with running(site.toml(), site, environ=environ) as edge:
        await until(lambda: manager.lines.count("WATCHDOG=1") > 3)
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        count = manager.lines.count("WATCHDOG=1")
        await until(lambda: manager.lines.count("WATCHDOG=1") > count + 3)
        assert manager.pids == {edge.pid}
        await until(lambda: manager.words[-1] == "READY=1")  # while nobody read, the socket may have been full
        edge.signal(signal.SIGINT)
        assert await edge.exit_code() == 0
        assert manager.words[-2:] == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize("name", ["/nowhere/notify", "no address"])
async def test_a_manager_that_is_not_there_stops_nothing(name: str) -> None:
    site = Site(pods=1)
    with running(site.toml(), site, environ={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": _WATCHDOG}) as edge:
        assert (await ask(edge.address, "GET", "/ready")).status == 200
        await edge.reload(site.toml())
        edge.signal(signal.SIGTERM)
        assert await edge.exit_code() == 0
        told = [line for line in edge.lines if line["event"] == "notify_failed"]
        assert [line["socket"] for line in told] == [name]


async def test_handover_and_the_vault(tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(pods=1)
    with manager_at() as vaults:
        monkeypatch.setenv("NOTIFY_SOCKET", vaults.name)
        monkeypatch.setenv("WATCHDOG_USEC", _WATCHDOG)
        with vault_at(tmp_path / "vault") as vault:
            await until(lambda: vaults.words == ["READY=1"])
            environ = {"NOTIFY_SOCKET": manager.name}
            with running(site.toml(), site, environ=environ, options=("--vault", str(vault.path))) as edge:
                await until(lambda: manager.words == ["READY=1"])
                edge.signal(signal.SIGQUIT)
                assert await edge.exit_code() == 0
                assert manager.words == ["READY=1", "STOPPING=1"]
            await until(lambda: vaults.lines.count("WATCHDOG=1") > 3)
            assert vaults.pids == {vault.pid}
        assert vaults.words == ["READY=1", "STOPPING=1"]
