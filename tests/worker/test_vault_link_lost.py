"""A vault that is refused or gone, and one that comes back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from splicer.vault import protocol
from splicer.vault.protocol import TO_CLIENT, Kind
from splicer.worker.vault_channel import VersionError
from tests.vault.rig import Pipe, Rig, Tunnel
from tests.worker.linked import accepted, both, closing, link_to, listening

_MANY = 900  # messages: more than a channel takes


# ---- a vault that is refused, or gone ----


async def test_a_vault_that_is_gone_is_told_and_calls_go_on(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with link_to(its) as linked:
        assert linked.link.connected
        ours.close()
        await wait_all_tasks_blocked()
        assert linked.told == ["vault_connected", "vault_lost"]
        assert not linked.link.connected
        linked.add(0, rig.pipe())
        await linked.register(rig.tunnel())
        linked.link.drop_pipe(0)
        linked.link.release(2)


@pytest.mark.parametrize("version", [protocol.VERSION + 1, protocol.VERSION, protocol.VERSION - 1])
async def test_a_vault_that_refuses_is_left_for_good(rig: Rig, version: int, tmp_path: Path) -> None:
    async with listening(tmp_path / "vault") as listener, link_to(None, tmp_path / "vault") as linked:
        vault = await accepted(listener)
        vault.sock.send(protocol.pack(Kind.REFUSED, version=version))
        await wait_all_tasks_blocked()
        assert linked.told == ["vault_connected", "vault_refused"]
        assert not linked.link.connected
        await linked.register(rig.tunnel())
        with pytest.raises(BlockingIOError):
            listener.accept()
        vault.sock.close()


# It may have been given tunnels that it knows nothing of: they must go to one that understands.
@pytest.mark.parametrize("kind", [Kind.TUNNEL, Kind.COUNT])
async def test_a_vault_that_says_what_is_not_understood_ends_the_worker(rig: Rig, kind: Kind) -> None:
    tunnel = rig.tunnel()
    ours, its = protocol.channel()
    fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno()
    protocol.send(ours, protocol.pack(kind, tunnel.key, version=protocol.VERSION + 1), fds)
    tunnel.inner_client.close()
    tunnel.inner_pod.close()
    with ours, pytest.RaisesGroup(VersionError, allow_unwrapped=True, flatten_subgroups=True):
        async with closing(its) as linked:
            with trio.fail_after(20):
                await linked.link.run()
    assert not linked.adopted
    assert not tunnel.is_held()


async def test_a_registration_that_waits_goes_on_when_the_vault_is_gone(rig: Rig) -> None:
    ours, its = protocol.channel()
    async with link_to(its) as linked, trio.open_nursery() as nursery:
        linked.fill()
        nursery.start_soon(linked.register, rig.tunnel())
        await trio.sleep(0.01)
        assert nursery.child_tasks
        ours.close()


async def test_who_leaves_says_nothing_more(rig: Rig) -> None:
    async with both() as (linked, vault):
        linked.add(0, rig.pipe())
        vault.heard()
        linked.link.close()
        linked.link.drop_pipe(0)
        linked.link.release(2)
        await wait_all_tasks_blocked()
        last = protocol.receive(vault.sock)
        assert last is not None
        assert last.kind == Kind.LEAVE
        assert protocol.receive(vault.sock) is None
        assert linked.told == ["vault_connected"]


# ---- a vault that comes back ----


async def test_everything_is_registered_again(rig: Rig, tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "vault"
    async with link_to(None, path) as linked:
        assert linked.told == ["vault_lost"]
        linked.link.serve(3, 5)
        tunnels, pipes = [rig.tunnel(2), rig.tunnel(4), rig.tunnel(6)], [rig.pipe(), rig.pipe()]
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        for tunnel in tunnels:
            await linked.register(tunnel)
        linked.link.release(4)
        linked.link.drop_pipe(0)
        everything = [(Kind.HELLO, 0), (Kind.SERVE, 3), (Kind.PIPE, 1), (Kind.TUNNEL, 2), (Kind.TUNNEL, 6)]
        for _ in range(2):
            async with listening(path) as listener:
                vault = await accepted(listener)
                assert vault.heard() == everything
            vault.sock.close()
            await wait_all_tasks_blocked()
        assert linked.told == ["vault_lost", "vault_connected", "vault_lost", "vault_connected", "vault_lost"]
        linked.link.release(2)
        linked.link.release(6)
        linked.link.drop_pipe(1)


async def test_what_was_adopted_is_registered_again_after_the_pipe_that_it_still_drains(
    rig: Rig, tmp_path: Path
) -> None:
    path, tunnel, pipe = tmp_path / "vault", rig.tunnel(), rig.pipe(b"bytes")
    async with listening(path) as listener, link_to(None, path) as linked:
        vault = await accepted(listener)
        fds = tunnel.inner_client.fileno(), tunnel.inner_pod.fileno(), pipe.read_fd
        data = protocol.pack(Kind.TUNNEL, 2, b"p", flags=protocol.parked(TO_CLIENT), quantity=7)
        protocol.send(vault.sock, data, fds)
        await wait_all_tasks_blocked()
        [adopted] = linked.adopted
        linked.link.remember(adopted)
        linked.link.add_pipe(3, adopted.pipes[TO_CLIENT], 0)
        vault.sock.close()
        vault = await accepted(listener)
        for kind, number in ((Kind.HELLO, 0), (Kind.PIPE, 3)):
            message = vault.hear()
            assert (message.kind, message.number) == (kind, number)
            message.close()
        message = vault.hear()
        assert (message.kind, message.number, message.payload, message.quantity) == (Kind.TUNNEL, 2, b"p", 7)
        message.close()
        vault.sock.close()


# A number that was closed while its message waited may be another call's socket by now.
async def test_no_stale_descriptor_is_ever_sent(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "vault"
    async with link_to(None, path) as linked:
        tunnels, pipes = [Tunnel(key) for key in range(2, 2 * _MANY, 2)], [Pipe() for _ in range(40)]
        for tunnel in tunnels:
            await linked.register(tunnel)
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        nodes = {
            tunnel.key: [os.fstat(sock.fileno()).st_ino for sock in (tunnel.inner_client, tunnel.inner_pod)]
            for tunnel in tunnels
        }
        async with listening(path) as listener:
            vault = await accepted(listener)
            assert linked.waits  # most of it
            over = {tunnel.key for tunnel in tunnels[::2]}
            for tunnel in tunnels[::2]:
                tunnel.close()
                linked.link.release(tunnel.key)
            later = [Tunnel(key) for key in range(10_000, 10_000 + 2 * len(over), 2)]  # their numbers are used again
            heard: dict[int, list[int]] = {}
            released = set()
            while True:
                all_said = linked.link.settled
                try:
                    message = vault.hear()
                except BlockingIOError:
                    if all_said:
                        break
                    await trio.sleep(0.001)
                    continue
                if message.kind == Kind.TUNNEL:
                    heard[message.number] = [os.fstat(fd).st_ino for fd in message.fds]
                elif message.kind == Kind.RELEASE:
                    released |= {message.number, *protocol.keys(message.payload)}
                message.close()
            assert all(nodes[key] == found for key, found in heard.items())
            assert set(heard) >= set(nodes) - over
            assert set(heard) & over < over  # some were spared
            assert released == set(heard) & over
            vault.sock.close()
        for tunnel in (*tunnels, *later):
            tunnel.close()
        for pipe in pipes:
            pipe.close()


async def test_a_pipe_that_is_closed_while_it_waits_is_not_sent(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "vault"
    async with link_to(None, path) as linked:
        pipes = [Pipe() for _ in range(_MANY)]
        for place, pipe in enumerate(pipes):
            linked.add(place, pipe)
        async with listening(path) as listener:
            vault = await accepted(listener)
            last = len(pipes) - 1
            pipes[last].close()
            linked.link.drop_pipe(last)
            heard = await vault.hear_all(linked)
            assert (Kind.PIPE, last) not in heard
            assert (Kind.PIPE, last - 1) in heard
            vault.sock.close()
        for pipe in pipes[:last]:
            pipe.close()


async def test_a_vault_that_hangs_up_at_once_is_not_stormed(tmp_path: Path, autojump_clock: MockClock) -> None:
    visits = 0
    async with listening(tmp_path / "vault") as listener, trio.open_nursery() as nursery:

        async def hang_up() -> None:
            nonlocal visits
            while True:
                await trio.lowlevel.wait_readable(listener)
                listener.accept()[0].close()
                visits += 1
                assert visits < 500, "it storms"

        nursery.start_soon(hang_up)
        async with link_to(None, tmp_path / "vault"):
            await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert visits > 2
