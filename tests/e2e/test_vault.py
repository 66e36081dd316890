"""A vault of its own: calls outlive all of `splicer run`, and the vault's own end costs no call."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import splicer
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, Line, running
from tests.kit.fleet import echoes, kill_worker, kill_worker_of, several, tunnel_at
from tests.kit.pods import patient_echo, raw_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.vaults import Vault, vault_at
from tests.kit.wire import Wire, ask, dial, request, until
from tests.kit.workers import worker_pids

_CONNECT = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(65534)
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.settimeout(10)
try:
    sock.connect(sys.argv[2])
    print(sock.recv(1))
except OSError as error:
    print(type(error).__name__)
"""


_PROBE = """
[[routes]]
name = "probe"
path = "/probe"
respond = { status = 200, body = "protected", unprotected = { status = 200, body = "unprotected" } }
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with vault_at(tmp_path_factory.mktemp("vault") / "vault.sock") as vault:
        yield vault


@pytest.fixture
def site() -> Site:
    return Site(pods=2)


@pytest.fixture
async def place(site: Site, nursery: trio.Nursery) -> Place:
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port, patient_echo)
    return place


@pytest.fixture
def edge(vault: Vault, site: Site) -> Iterator[Edge]:
    with running(several(site), site, options=("--vault", str(vault.path))) as edge:
        yield edge


@asynccontextmanager
async def next_life(vault: Vault, edge: Edge) -> AsyncIterator[Edge]:
    """Another `splicer run` after this one."""
    async with AsyncExitStack() as stack:
        opening = running(edge.path.read_text(), edge.site, options=("--vault", str(vault.path)))
        other = await trio.to_thread.run_sync(opening.__enter__)
        try:
            yield other
        finally:
            await trio.to_thread.run_sync(opening.__exit__, None, None, None)
        await stack.aclose()


def of_workers(edge: Edge, event: str) -> list[Line]:
    """Such lines of those that have tunnels: neither the supervisor's nor the spare's."""
    return [line for line in edge.find(event) if line.get("tunnels")]


@asynccontextmanager
async def calls(edge: Edge, place: Place) -> AsyncIterator[list[Wire]]:
    """A call at each worker; in the end they still work."""
    async with AsyncExitStack() as stack:
        slots = (1, 2)
        wires = [await stack.enter_async_context(tunnel_at(edge, slot, f"/ws/{place.name}/{slot}")) for slot in slots]
        yield wires
        for wire in wires:
            await echoes(wire)


async def all_are_held(vault: Vault, count: int) -> None:
    """The vault knows of so many tunnels."""
    await until(lambda: vault.tunnels() == count)


# ---- who is heard ----


def connect_as_nobody(path: Path) -> str:
    """What becomes of a connection of another user's."""
    command = [sys.executable, "-c", _CONNECT, str(path.parent), path.name]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_refused(vault: Vault) -> None:
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert connect_as_nobody(vault.path) == "PermissionError"
    vault.path.parent.chmod(0o755)
    vault.path.chmod(0o666)
    try:
        assert connect_as_nobody(vault.path) in ("b''", "ConnectionResetError")
        await vault.line("vault_peer_refused", uid=65534)
    finally:
        vault.path.chmod(0o600)


# ---- the vault goes and comes ----


async def test_a_vault_that_is_killed_and_comes_back(tmp_path: Path, site: Site, place: Place) -> None:
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with calls(edge, place) as wires:
            vault.kill()
            await until(lambda: len(of_workers(edge, "vault_lost")) == 2)
            await edge.line("vault_lost", role="supervisor")
            for wire in wires:
                await echoes(wire)
            async with calls(edge, place) as unprotected:
                edge.mark()
                await trio.to_thread.run_sync(vault.start)
                await until(lambda: len(of_workers(edge, "vault_connected")) == 2)
                await edge.line("vault_connected", role="supervisor")
                await all_are_held(vault, 4)
                await until(lambda: vault.keeps(edge.address))
                for slot in (1, 2):
                    await kill_worker(edge, slot)
                    for wire in (*wires, *unprotected):
                        await echoes(wire)
        await all_are_held(vault, 0)
    assert all(line["adopted"] >= 1 for line in edge.find("tunnel_close"))


@pytest.mark.slow
async def test_what_is_parked_when_the_vault_comes_back(tmp_path: Path, site: Site, nursery: trio.Nursery) -> None:
    """Bytes in a pipe are known to the new vault before anything else happens to them."""
    bulk, size, pour = site.take(), 64 << 20, trio.Event()  # more than all buffers of the kernel together

    async def pod(wire: Wire) -> None:
        await wire.send(bytes(range(256)) * (size // 256))
        pour.set()
        await wire.end()

    await tunnel_pod(nursery, bulk.address, bulk.port, pod)
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with tunnel_at(edge, 1, f"/ws/{bulk.name}/x") as call:
            first = await call.exactly(1000)
            await trio.sleep(0.3)
            assert not pour.is_set()
            vault.kill()
            await until(lambda: of_workers(edge, "vault_lost"))
            await trio.to_thread.run_sync(vault.start)
            await all_are_held(vault, 1)
            await kill_worker_of(edge, call)
            assert first + await call.exactly(size - 1000) == bytes(range(256)) * (size // 256)
            assert vault.find("tunnels_orphaned")[-1]["pipes"] == 1


@pytest.mark.slow
async def test_an_edge_that_begins_before_its_vault(tmp_path: Path, site: Site, place: Place) -> None:
    path = tmp_path / "vault"
    with running(several(site), site, options=("--vault", str(path))) as edge:
        assert edge.find("vault_lost", role="supervisor")
        async with calls(edge, place) as wires:
            edge.mark()
            with vault_at(path) as vault:
                await edge.line("vault_connected", role="supervisor")
                await all_are_held(vault, 2)
                await kill_worker(edge, 1)
                for wire in wires:
                    await echoes(wire)
                await edge.wait_lines(1, "worker_serving")
                edge.mark()
            await edge.line("vault_lost", role="supervisor")  # it has ended in order


# ---- who holds the calls stands still ----


@pytest.mark.slow
@pytest.mark.parametrize("which", ["supervisor", "vault"])
async def test_calls_open_though_who_holds_them_stands_still_and_are_held_when_it_goes_on(
    tmp_path: Path, site: Site, place: Place, which: str
) -> None:
    async with AsyncExitStack() as stack:
        vault = stack.enter_context(vault_at(tmp_path / "vault"))
        options = ("--vault", str(vault.path)) if which == "vault" else ()
        edge = stack.enter_context(running(several(site, 1, routes=_PROBE), site, options=options))
        os.kill(vault.pid if which == "vault" else edge.pid, signal.SIGSTOP)
        try:
            wires = [  # more than a channel holds messages
                await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/{number}")) for number in range(250)
            ]
            assert (await ask(edge.address, "GET", "/probe")).body == b"unprotected"
            assert len(of_workers(edge, "vault_lost")) == 1
            for wire in wires[::25]:
                await echoes(wire)
            edge.mark()
        finally:
            os.kill(vault.pid if which == "vault" else edge.pid, signal.SIGCONT)
        await until(lambda: of_workers(edge, "vault_connected"))
        assert (await ask(edge.address, "GET", "/probe")).body == b"protected"
        await kill_worker(edge, 1)
        for wire in wires:
            await echoes(wire)


# ---- all of `splicer run` goes and comes ----


async def test_all_is_killed(vault: Vault, edge: Edge, place: Place) -> None:
    """Calls go on, and who connects while nobody runs is answered."""
    async with (
        tunnel_at(edge, 1, f"/ws/{place.name}/1") as one,
        tunnel_at(edge, 2, f"/ws/{place.name}/2") as two,
        dial(edge.address) as under_way,
    ):
        wires = [one, two]
        await under_way.send(request("GET", "/health"))  # it must be out of the accept queue, or it would survive
        assert (await under_way.reply()).status == 200
        await under_way.send(b"GET /health HTTP/1.1\r\n")
        await all_are_held(vault, 2)
        edge.kill()
        assert await under_way.end() in ("eof", "reset")
        async with dial(edge.address) as waiting:
            await waiting.send(request("GET", "/health"))
            for wire in wires:
                await wire.send(b"anybody?")
            async with next_life(vault, edge) as other:
                assert other.address == edge.address
                assert (await waiting.reply()).body == b"healthy\n"
                for wire in wires:
                    assert await wire.exactly(8) == b"anybody?"
                    await echoes(wire)
                await kill_worker(other, 1)
                for wire in wires:
                    await echoes(wire)
                for wire in wires:
                    await wire.close()
                closed = await other.wait_lines(2, "tunnel_close")
                assert {line["path"] for line in closed} == {f"/ws/{place.name}/{slot}" for slot in (1, 2)}
                assert all(line["bytes_to_pod"] == line["bytes_to_client"] == 18 for line in closed)
        await all_are_held(vault, 0)


@pytest.mark.parametrize("draining", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_handover(vault: Vault, edge: Edge, place: Place, *, draining: bool) -> None:
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        if draining:
            edge.signal(signal.SIGTERM)
            await edge.line("drain")
        result = await splicer("handover", "-c", str(edge.path))
        assert (result.code, result.err) == (0, "")
        assert result.out == f"handed over; calls in the vault at {vault.path}: 1\n"
        assert edge.process.poll() == 0
        assert (await edge.line("handover"))["tunnels"] == 1
        assert not edge.find("tunnel_close")
        assert vault.tunnels() == 1
        async with dial(edge.address) as waiting:
            await waiting.send(request("GET", "/ready"))
            async with next_life(vault, edge) as other:
                assert (await waiting.reply()).body == b"ready\n"
                await echoes(call)
                async with tunnel(other, f"/ws/{place.name}/new") as new:
                    await echoes(new)
                await call.close()
                assert (await other.line("tunnel_close", path=f"/ws/{place.name}/x"))["adopted"] == 1


@pytest.mark.slow
async def test_an_exchange_is_finished_before_the_handover(
    vault: Vault, edge: Edge, site: Site, nursery: trio.Nursery
) -> None:
    slow, go_on, asked = site.take(), trio.Event(), trio.Event()

    async def pod(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    await raw_pod(nursery, slow.address, slow.port, pod)
    async with dial(edge.address) as wire:
        await wire.send(request("GET", f"/http/{slow.name}/"))
        await asked.wait()
        edge.signal(signal.SIGQUIT)
        await edge.line("handover")
        go_on.set()
        assert (await wire.reply()).body == b"done"
    assert await edge.exit_code() == 0


@pytest.mark.slow
async def test_a_handover_while_the_vault_is_away(tmp_path: Path, site: Site, place: Place) -> None:
    """There is nobody to leave the calls to: it must not end them."""
    with (
        vault_at(tmp_path / "vault") as vault,
        running(several(site), site, options=("--vault", str(vault.path))) as edge,
    ):
        async with calls(edge, place) as wires:
            vault.kill()
            await until(lambda: len(of_workers(edge, "vault_lost")) == 2)
            await edge.line("vault_lost", role="supervisor")
            edge.signal(signal.SIGQUIT)
            await edge.line("handover_refused")
            for wire in wires:
                await echoes(wire)
            assert edge.process.poll() is None
            await trio.to_thread.run_sync(vault.start)


@pytest.mark.slow
async def test_a_handover_without_such_a_vault_is_refused(site: Site, place: Place) -> None:
    with running(several(site), site) as edge:
        async with calls(edge, place):
            before = worker_pids(edge.pid)
            edge.signal(signal.SIGQUIT)
            assert "--vault" in (await edge.line("handover_refused"))["reason"]
            assert (await ask(edge.address, "GET", "/ready")).status == 200
            assert worker_pids(edge.pid) == before


@pytest.mark.slow
async def test_the_command_for_a_handover_that_is_refused(site: Site) -> None:
    with running(several(site), site) as edge:
        result = await splicer("handover", "-c", str(edge.path))
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        assert "--vault" in result.err
        assert len(edge.find("handover_refused")) == 1


@pytest.mark.slow
async def test_a_drain_leaves_nothing(vault: Vault, edge: Edge, place: Place) -> None:
    assert vault.keeps(edge.address)
    async with tunnel(edge, f"/ws/{place.name}/x") as call, tunnel(edge, f"/ws/{place.name}/y") as other:
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        await kill_worker(edge, 1)
        for wire in (call, other):
            await echoes(wire)
        await other.close()
        await edge.line("tunnel_close")
        await kill_worker_of(edge, call)
        await echoes(call)
    assert await edge.exit_code() == 0
    await all_are_held(vault, 0)
    assert vault.listeners() == []
    assert not vault.find("tunnel_abandoned")
    with pytest.raises(ConnectionRefusedError):
        await ask(edge.address, "GET", "/health")


@pytest.mark.parametrize("count", [3, pytest.param(700, marks=pytest.mark.slow)])
async def test_a_stop_leaves_nothing(vault: Vault, edge: Edge, place: Place, count: int) -> None:
    """... however many calls end at once, more than the channels to the vault hold."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x")) for _ in range(count)]
        await all_are_held(vault, count)
        edge.signal(signal.SIGINT)
        for wire in wires:
            assert await wire.end() == "eof"
        assert await edge.exit_code() == 0
    await all_are_held(vault, 0)
    assert vault.listeners() == []


@pytest.mark.slow
async def test_a_drain_whose_time_is_up_leaves_nothing(vault: Vault, site: Site, place: Place) -> None:
    options = ("--vault", str(vault.path))
    with running(several(site, deadlines='drain = "1s"'), site, options=options) as edge:
        async with tunnel(edge, f"/ws/{place.name}/x") as call:
            edge.signal(signal.SIGTERM)
            await edge.line("drain_expired")
            assert await call.end() == "eof"
        assert await edge.exit_code() == 0
        assert (await edge.line("tunnel_close"))["reason"] == "drain"
    await all_are_held(vault, 0)
    assert vault.listeners() == []


# ---- with an upgrade ----


@pytest.mark.slow
async def test_an_upgrade(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place) as wires:
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        for wire in wires:
            await echoes(wire)
        await all_are_held(vault, 2)
        assert vault.keeps(edge.address)
        await kill_worker(edge, 1)


@pytest.mark.slow
async def test_an_upgrade_during_a_drain(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place):
        edge.signal(signal.SIGTERM)
        await edge.line("drain")
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        assert (await ask(edge.address, "GET", "/ready")).status == 503
    assert await edge.exit_code() == 0
    await all_are_held(vault, 0)


# ---- the command ----


async def test_the_vault_ends_in_order(tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        with vault_at(tmp_path / "vault") as vault:
            vault.process.send_signal(signum)
            assert await trio.to_thread.run_sync(vault.process.wait) == 0
            await vault.line("vault_stopped", tunnels=0)
            assert not vault.path.exists()


async def test_other_signals_do_not_end_it(vault: Vault) -> None:
    for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        vault.process.send_signal(signum)
    assert vault.tunnels() == 0
    assert vault.process.poll() is None


async def test_a_second_vault_at_the_same_socket(vault: Vault, edge: Edge, place: Place) -> None:
    async with calls(edge, place):
        result = await splicer("vault", "--socket", vault.path)
        assert (result.code, result.out) == (1, "")
        assert result.err == f"splicer: {vault.path}: Address already in use: another vault serves it\n"
        assert vault.tunnels() == 2


async def test_a_socket_that_can_not_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for name, words in (
        ("gone/vault", "No such file or directory"),
        ("file", "no socket"),
        ("x" * 200, "too long"),
    ):
        result = await splicer("vault", "--socket", tmp_path / name)
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        assert str(tmp_path / name) in result.err
        assert words in result.err
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("keep", ["10", "soon", "-1s", ""])
async def test_a_keep_that_is_no_duration(tmp_path: Path, keep: str) -> None:
    result = await splicer("vault", "--socket", tmp_path / "vault", f"--keep={keep}")
    assert (result.code, result.out) == (2, "")
    assert "--keep" in result.err


@pytest.mark.slow
async def test_calls_that_nobody_comes_for_are_ended(tmp_path: Path, site: Site, place: Place) -> None:
    vault = Vault(tmp_path / "vault", "500ms")
    try:
        with running(several(site), site, options=("--vault", str(vault.path))) as edge:
            async with tunnel(edge, f"/ws/{place.name}/x") as call:
                await all_are_held(vault, 1)
                edge.kill()
                assert await call.end() == "eof"
            await vault.line("tunnel_abandoned")
            assert vault.tunnels() == 0
    finally:
        vault.kill()
