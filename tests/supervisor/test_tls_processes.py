"""The tls processes, as the supervisor keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import pytest

from splicer.ipc import wire
from splicer.ipc.codec import to_json
from splicer.ipc.message import Message
from splicer.ipc.tls_messages import (
    AttendTls,
    CertificateFacts,
    ConfigureTls,
    ProfileFacts,
    RetireTls,
    ServerProfile,
    TlsConfigured,
    TlsOrder,
    TlsProfileRead,
    TlsReady,
    TlsSettings,
)
from splicer.ipc.tls_orders import AttachTls
from splicer.supervisor.launch import TLS
from splicer.supervisor.processes import State
from splicer.tls_facts import CertificateFiles
from tests.supervisor.harness import Far, SupervisorHarness

_ONE, _TWO = TlsSettings(1), TlsSettings(2)
_PROFILE = ServerProfile((CertificateFiles("/certs"),))


class Tried:
    """What became of settings that were tried."""

    def __init__(self) -> None:
        self.faults: list[Sequence[str]] = []

    def __call__(self, faults: Sequence[str]) -> None:
        self.faults.append(tuple(faults))


def orders(far: Far) -> list[TlsOrder]:
    """What a tls process was told since it last looked."""
    found: list[TlsOrder] = []
    while True:
        try:
            heard = wire.receive(far.sock, TlsOrder)
        except BlockingIOError:
            return found
        assert heard is not None
        for fd in heard.fds:
            os.close(fd)
        assert heard.message is not None
        found.append(heard.message)


def processes(harness: SupervisorHarness) -> list[Far]:
    return [far for far in harness.all if far.module == TLS]


def say(far: Far, kind: type[TlsReady | TlsConfigured | TlsProfileRead], **fields: object) -> None:
    far.send_raw({"version": wire.VERSION, "kind": kind.KIND, **fields})


def configured(far: Far, faults: Sequence[str] = ()) -> None:
    """It answers the newest settings."""
    [*_, order] = [one for one in orders(far) if isinstance(one, ConfigureTls)]
    say(far, TlsConfigured, request=order.request, faults=list(faults))


def _told(worker: Far) -> list[Message]:
    found = []
    while True:
        try:
            found.append(worker.next()[0])
        except BlockingIOError:
            return found


def _json(facts: ProfileFacts) -> object:
    return json.loads(to_json(facts))


def serving(harness: SupervisorHarness, settings: TlsSettings = _ONE) -> list[Far]:
    """So many serve."""
    tried = Tried()
    harness.open(workers=0, admin=None)
    harness.edge.tls.use(settings, tried)
    for far in processes(harness):
        say(far, TlsReady)
        configured(far)
    assert tried.faults == [()]
    assert harness.edge.tls.complete
    return processes(harness)


def test_without_tls_there_is_none(harness: SupervisorHarness) -> None:
    harness.open(workers=1)
    tried = Tried()
    harness.edge.tls.use(TlsSettings(), tried)
    assert (processes(harness), tried.faults) == ([], [()])


def test_settings_are_in_force_when_all_have_answered(harness: SupervisorHarness) -> None:
    harness.open(workers=0, admin=None)
    tried, tls = Tried(), harness.edge.tls
    tls.use(_TWO, tried)
    first, second = processes(harness)
    for far in (first, second):
        say(far, TlsReady)
    configured(first)
    assert (tried.faults, tls.complete) == ([], False)
    configured(second)
    assert (tried.faults, tls.complete) == ([()], True)
    assert [one["pid"] for one in harness.said.of("tls_serving")] == [first.pid, second.pid]


def test_a_fault_takes_all_back_to_what_they_had(harness: SupervisorHarness) -> None:
    first, second = serving(harness, _TWO)
    tried = Tried()
    harness.edge.tls.use(TlsSettings(2), tried)
    assert tried.faults == [()], "they are the same"
    harness.edge.tls.use(TlsSettings(2, servers={"edge": _PROFILE}), tried)
    configured(first, ["[tls.edge] /nowhere: No such file"])
    assert tried.faults[1:] == [("[tls.edge] /nowhere: No such file",)]
    assert harness.edge.tls.settings == _TWO
    for far in (first, second):
        assert isinstance(orders(far)[-1], ConfigureTls), "it gets the old ones again"


def test_a_newer_reload_ends_the_older_one(harness: SupervisorHarness) -> None:
    serving(harness)
    older, newer = Tried(), Tried()
    harness.edge.tls.use(TlsSettings(1, servers={"edge": _PROFILE}), older)
    harness.edge.tls.use(TlsSettings(1, servers={"other": _PROFILE}), newer)
    assert older.faults == [("given up for a newer reload",)]
    [far] = processes(harness)
    configured(far)
    assert newer.faults == [()]


def test_a_dead_one_is_replaced_and_workers_get_a_channel(harness: SupervisorHarness) -> None:
    [far] = serving(harness)
    harness.edge.workers.slots = 1
    harness.turn()
    worker = harness.worker()
    assert [type(order) for order in orders(far)] == [AttendTls]
    assert any(isinstance(order, AttachTls) for order in _told(worker))
    far.die()
    harness.edge.tls.reconcile()
    [_, heir] = processes(harness)
    say(heir, TlsReady)
    assert not any(isinstance(order, AttachTls) for order in _told(worker)), "it doesn't serve yet"
    configured(heir)
    assert [order for order in _told(worker) if isinstance(order, AttachTls)] == [
        AttachTls(heir.arguments.place.row, 0)
    ]
    [died] = harness.said.of("tls_died")
    assert (died["pid"], died["state"], harness.edge.tls.restarts) == (far.pid, State.SERVING.value, 1)


def test_the_discovery_process_gets_a_channel_too(harness: SupervisorHarness) -> None:
    """Whichever of the two serves first: health checks go by TLS."""
    harness.open(workers=0, admin=None, discovery=True)
    discovery = harness.discovery()
    tried = Tried()
    harness.edge.tls.use(_ONE, tried)
    [far] = processes(harness)
    say(far, TlsReady)
    configured(far)
    assert "attach_tls" in discovery.pending()
    discovery.die()
    harness.turn()
    heir = harness.discovery()
    assert "attach_tls" in heir.pending()


def test_fewer_are_wanted(harness: SupervisorHarness) -> None:
    first, second = serving(harness, _TWO)
    tried = Tried()
    harness.edge.tls.use(_ONE, tried)
    configured(first)
    configured(second)
    assert tried.faults == [()]
    harness.edge.tls.reconcile()
    assert [type(order) for order in orders(second)] == [RetireTls]
    second.die(0)
    assert [one["pid"] for one in harness.said.of("tls_retired")] == [second.pid]


def test_one_that_can_not_be_configured_is_tried_again_later(harness: SupervisorHarness) -> None:
    [far] = serving(harness)
    far.die()
    harness.edge.tls.reconcile()
    heir = processes(harness)[-1]
    say(heir, TlsReady)
    configured(heir, ["[tls.edge] gone"])
    assert [one["fault"] for one in harness.said.of("tls_not_started")] == ["[tls.edge] gone"]
    assert [type(order) for order in orders(heir)] == [RetireTls]
    heir.die(0)
    count = len(processes(harness))
    harness.edge.tls.reconcile()
    assert len(processes(harness)) == count, "not at once"


def test_what_was_read_is_told_once(harness: SupervisorHarness) -> None:
    first, second = serving(harness, _TWO)
    certificate = CertificateFacts("/certs", ("a.test",), 0.0, 1.0, "ECDSA", "ff")
    facts = ProfileFacts("edge", "client", (certificate,), None, ("expires soon",))
    for far in (first, second):
        say(far, TlsProfileRead, profile=_json(facts))
    assert [one["names"] for one in harness.said.of("certificate_loaded")] == [["a.test"]]
    assert [one["warning"] for one in harness.said.of("certificate_warning")] == ["expires soon"]
    say(first, TlsProfileRead, profile=_json(ProfileFacts("edge", "client", (certificate,), "no key")))
    [line] = harness.said.of("certificate_not_used")
    assert (line["fault"], line["level"]) == ("no key", "error")


@pytest.mark.parametrize("ended", [False, True])
def test_the_end_is_the_last_connections(harness: SupervisorHarness, *, ended: bool) -> None:
    [far] = serving(harness)
    harness.edge.tls.end()
    assert [type(order) for order in orders(far)] == [RetireTls]
    if ended:
        far.die(0)
        harness.edge.tls.reconcile()
        assert len(processes(harness)) == 1, "no other is started"
