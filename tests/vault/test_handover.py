from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from splicer.ipc.codec import MalformedError, from_json, from_object, to_json
from splicer.vault import protocol
from splicer.vault.handover import HolderState, dump, restore
from splicer.vault.holder import Holder
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind
from tests.vault.rig import Rig, Talker, close_messages

_ROOT = Path(__file__).resolve().parent.parent.parent


def _exec(rig: Rig) -> list[int]:
    """The holder's memory is gone but for what it wrote down; descriptors stay. Those that it spoke of."""
    state, fds = dump(rig.holder)
    state = from_json(HolderState, to_json(state))
    for channel in rig.holder.channels:
        rig.selector.unregister(channel.sock)
        channel.sock.detach()
    rig.holder = Holder(rig.selector, rig.holder._log)
    restore(rig.holder, state)
    rig.hear()
    return fds


def test_it_speaks_of_every_descriptor_once(rig: Rig) -> None:
    worker, other = rig.talker(1, 2), rig.talker(2, 2)
    worker.tunnel(rig.tunnel(2))
    worker.pipe(rig.pipe(b"bytes"), 0, 2)
    other.tunnel(rig.tunnel(4))
    other.pipe(rig.pipe(), 0)
    worker.close()
    rig.hear()
    fds = _exec(rig)
    held = [fd for held in rig.holder.tunnels.values() for fd in (held.client, held.pod, *held.pipes.values())]
    channels = [fd for one in rig.holder.channels for fd in (one.sock.fileno(), *one.pipes.values())]
    journals = [one.journal.fd for one in rig.holder.channels if one.journal is not None]
    assert sorted(fds) == sorted(held + channels + journals)
    assert len(set(fds)) == len(fds) == 8


def test_owners_stay_and_orphans_stay(rig: Rig) -> None:
    worker, other, tunnels = rig.talker(1, 2), rig.talker(2, 2), [rig.tunnel(2), rig.tunnel(4)]
    worker.tunnel(tunnels[0], b"\x00\xff passport")
    other.tunnel(tunnels[1])
    worker.close()
    rig.hear()
    _exec(rig)
    assert list(rig.holder.placement.orphans) == [2]
    other.send(Kind.RELEASE, 4)
    rig.hear()
    assert not tunnels[1].is_held()
    adopted = rig.talker(1, 2).adopt()
    assert (adopted.number, adopted.payload, adopted.quantity) == (2, b"\x00\xff passport", 1)
    adopted.close()


def test_crashes_stay_counted(rig: Rig) -> None:
    worker = rig.talker(1)
    worker.tunnel(rig.tunnel())
    worker.close()
    rig.hear()
    _exec(rig)
    message = rig.talker(1).adopt()
    assert protocol.crashes(message.flags) == 1
    close_messages(message)


def test_messages_that_nobody_has_read_are_read_by_the_next(rig: Rig) -> None:
    worker, tunnel, late = rig.talker(1), rig.tunnel(2), rig.tunnel(4)
    worker.tunnel(tunnel)
    rig.hear()
    worker.tunnel(late)
    worker.pipe(rig.pipe(b"bytes"), 0, late.key | TO_CLIENT)
    worker.send(Kind.RELEASE, tunnel.key)
    _exec(rig)
    assert not tunnel.is_held()
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert (adopted.number, adopted.flags) == (late.key, protocol.parked(TO_CLIENT) | protocol.crashed(1))
    assert os.read(adopted.fds[2], 9) == b"bytes"
    adopted.close()


def test_the_journal_of_a_worker_that_lives_on_is_read_at_its_end(rig: Rig) -> None:
    worker, tunnel = rig.talker(1), rig.tunnel()
    worker.tunnel(tunnel)
    pipe = rig.pipe()
    worker.pipe(pipe, 5)
    rig.hear()
    _exec(rig)
    worker.journal.words[5] = tunnel.key | TO_POD
    os.write(pipe.write_fd, b"after")
    worker.close()
    rig.hear()
    adopted = rig.talker(1).adopt()
    assert os.read(adopted.fds[2], 9) == b"after"
    adopted.close()


def test_what_waited_in_an_outbox_is_given_away_anew(rig: Rig) -> None:
    worker = rig.talker(1)
    keys = range(2, 802, 2)
    for key in keys:
        worker.tunnel(rig.tunnel(key))
        rig.hear()
    worker.close()
    heir = rig.talker(1)
    assert rig.holder.channels[0].outbox
    _exec(rig)
    got: list[int] = []
    while len(got) < len(keys):
        message = heir.adopt()
        assert message.quantity == 1
        got.append(message.number)
        message.close()
        rig.hear()
    assert sorted(got) == list(keys)
    assert heir.hears_nothing()


def test_what_waited_goes_to_the_next_if_its_adopter_dies_meanwhile(rig: Rig) -> None:
    worker = rig.talker(1)
    keys = range(2, 802, 2)
    for key in keys:
        worker.tunnel(rig.tunnel(key))
        rig.hear()
    worker.close()
    rig.talker(1).close()
    _exec(rig)
    heir = rig.talker(1)
    got: list[int] = []
    while len(got) < len(keys):
        message = heir.adopt()
        got.append(message.number)
        message.close()
        rig.hear()
    assert sorted(got) == list(keys)


def test_inherited_pipes_go_on_waiting(rig: Rig) -> None:
    worker, tunnel, pipe = rig.talker(1), rig.tunnel(), rig.pipe(b"bytes")
    worker.tunnel(tunnel)
    worker.pipe(pipe, 0, tunnel.key | TO_POD)
    worker.close()
    heir = rig.talker(1)
    heir.adopt().close()
    _exec(rig)
    assert pipe.is_held()
    os.read(rig.holder.tunnels[tunnel.key].pipes[TO_POD], 99)
    rig.holder.tidy()
    assert not pipe.is_held()
    heir.send(Kind.RELEASE, tunnel.key)
    rig.hear()
    assert not tunnel.is_held()


# A spare may have connected before the worker whose slot it takes.
@pytest.mark.parametrize("newer_connected_first", [False, True])
def test_the_newer_server_of_a_slot_stays_the_newer(rig: Rig, newer_connected_first: bool) -> None:
    talkers = [rig.talker(), rig.talker()]
    newer, older = talkers if newer_connected_first else reversed(talkers)
    for talker in (older, newer):
        talker.serve()
        rig.hear()
    older.tunnel(rig.tunnel())
    rig.hear()
    _exec(rig)
    older.close()
    rig.hear()
    newer.adopt().close()


@pytest.mark.parametrize("version", [protocol.VERSION, protocol.VERSION - 1])
def test_each_goes_on_being_told_in_its_own_version(rig: Rig, version: int) -> None:
    worker, spare = rig.talker(1), rig.talker()
    spare.send(Kind.SERVE, 1, quantity=1, version=version)
    worker.tunnel(rig.tunnel())
    rig.hear()
    _exec(rig)
    assert [channel.version for channel in rig.holder.channels] == [protocol.VERSION, version]
    worker.close()
    rig.hear()
    adopted = spare.adopt()
    assert adopted.version == version
    adopted.close()


def test_slots_and_spares_stay_what_they_were(rig: Rig) -> None:
    worker, spare = rig.talker(3, 4), rig.talker()
    worker.tunnel(rig.tunnel())
    rig.hear()
    _exec(rig)
    assert rig.holder.placement.slots == 4
    worker.close()
    rig.hear()
    assert spare.hears_nothing()
    spare.serve(3, 4)
    rig.hear()
    spare.adopt().close()


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"slots": 1, "channels": []},
        {"slots": 1, "channels": [[1]], "tunnels": []},
        {"slots": "x", "channels": [], "tunnels": []},
    ],
)
def test_what_is_no_state_is_told(raw: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        from_object(HolderState, raw)


def test_through_a_real_exec() -> None:
    with Rig() as rig:
        ends = [protocol.channel(), protocol.channel()]
        fds = [ours.fileno() for ours, _ in ends]
        worker, heir = Talker(ends[0][1]), Talker(ends[1][1])
        for talker in (worker, heir):
            talker.hello()
        worker.serve()
        tunnels = [rig.tunnel(2), rig.tunnel(4)]
        worker.pipe(rig.pipe(b"parked"), 0, 4 | TO_CLIENT)
        for tunnel in tunnels:
            worker.tunnel(tunnel)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.vault.exec_holder", json.dumps(fds)],
            cwd=_ROOT,
            pass_fds=fds,
            stdout=subprocess.PIPE,
        )
        for ours, _ in ends:
            ours.close()
        worker.close()
        heir.serve()
        heir.sock.settimeout(20)
        got = {}
        for _ in tunnels:
            data, fds, _, _ = socket.recv_fds(heir.sock, protocol.LONGEST, 4)
            got[int.from_bytes(data[8:16])] = fds
        assert sorted(got) == [2, 4]
        assert [len(fds) for _, fds in sorted(got.items())] == [2, 3]
        assert os.read(got[4][2], 9) == b"parked"
        for fds in got.values():
            for fd in fds:
                os.close(fd)
        for key in got:
            heir.send(Kind.RELEASE, key)
        heir.close()
        output, _ = process.communicate()
        assert process.returncode == 0
        assert json.loads(output.splitlines()[-1]) == {"event": "over", "tunnels": 0}
