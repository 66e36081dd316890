"""What processes say to each other, by name: two versions of splicer meet in each upgrade."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer import arrival, tls_facts
from splicer.ipc import arguments, endpoint_reports, facts, queries, tls_messages, tls_orders, wire
from splicer.ipc.codec import MalformedError, from_json, from_object, to_json
from splicer.ipc.endpoint_reports import EndpointReport
from splicer.ipc.facts import LISTENERS, Reading, by_listener
from splicer.ipc.forking import TemplateOrder, TemplateReport
from splicer.ipc.message import ENVELOPE, Answer, Message, Request, understand
from splicer.ipc.messages import (
    AdminOrder,
    AdminReport,
    DiscoveryOrder,
    DiscoveryReport,
    FollowDrains,
    Legacy,
    Prepare,
    Retire,
    Serve,
    WorkerOrder,
    WorkerReport,
)
from splicer.ipc.queries import Question, Rows
from splicer.ipc.tls_messages import TlsOrder, TlsReport, TlsTask
from splicer.ipc.vault_tls import VaultTlsOrder, VaultTlsReport
from splicer.vault.protocol import channel
from tests.ipc.values import sample, values
from tests.kit.laws import examples

assert tls_orders.AttachTls.KIND  # the module adds messages to two borders
BORDERS: tuple[type[Message], ...] = (
    WorkerOrder,
    WorkerReport,
    AdminOrder,
    AdminReport,
    DiscoveryOrder,
    DiscoveryReport,
    EndpointReport,
    Legacy,
    Question,
    Rows,
    Reading,
    TemplateOrder,
    TemplateReport,
    TlsOrder,
    TlsReport,
    TlsTask,
    VaultTlsOrder,
    VaultTlsReport,
)

# All messages: the border, the name on the wire, the version that it came in, and the fields; "?": it has a default.
#
# What stands here was said by a version that somebody runs. Never change or remove a line or a field: the other side of
# an upgrade has it. What is added goes to the end of its line and needs a default, or is a line of its own.
MESSAGES = """
WorkerOrder   prepare           1  request: int, drains?: OperatorDrains
WorkerOrder   serve             1  request: int, slot: int, slots: int, draining: bool, listeners: Mapping[str, int], \
rules?: tuple[str, ...]
WorkerOrder   reload            1  request: int
WorkerOrder   drain             1  request: int
WorkerOrder   drains            1  request: int, drains: OperatorDrains
WorkerOrder   expire            1
WorkerOrder   attend            1
WorkerOrder   trace_to          1
WorkerOrder   report            1
WorkerOrder   inherit           1
WorkerOrder   retire            1  seconds?: float | None, linger?: float | None, speaks?: int
WorkerOrder   stop              1
WorkerOrder   attach_tls        1  row: int, generation: int
WorkerReport  imported          1  mover?: str
WorkerReport  prepared          1  request: int
WorkerReport  serving           1  request: int
WorkerReport  unknown           1  request: int
WorkerReport  reloaded          1  request: int
WorkerReport  draining          1  request: int
WorkerReport  drains_followed   1  request: int
WorkerReport  handed_over       1
AdminOrder    stop              1
AdminOrder    serve             1  request: int, facts: EdgeFacts, listeners: Mapping[str, int]
AdminOrder    facts             1  facts: EdgeFacts
AdminOrder    config            1
AdminOrder    worker            1  slot: int, pid: int, speaks?: int, mover?: str
AdminOrder    hear_spans        1  slot: int
AdminOrder    profile           1  profile: ProfileFacts
AdminReport   serving           1  request: int
AdminReport   unknown           1  request: int
AdminReport   ready             1
AdminReport   want_drains       1  drains: OperatorDrains
AdminReport   absent            1  slots: tuple[int, ...]
DiscoveryOrder attach_tls       1 row: int, generation: int
DiscoveryOrder stop             1
DiscoveryOrder config           1
DiscoveryOrder worker           1  slot: int, pid: int, speaks?: int, mover?: str
DiscoveryOrder discover         1  request: int
DiscoveryReport serving         1  request: int
DiscoveryReport unknown         1  request: int
DiscoveryReport ready           1
DiscoveryReport absent          1  slots: tuple[int, ...]
Legacy        connection        1  peer: str, arrival?: Arrival | None, awaited?: str, tls?: TlsFacts | None
EndpointReport outcomes         1  rows: tuple[OutcomeRow, ...]
EndpointReport names_used       1  rows: tuple[UsedRow, ...]
Question      tunnels           1  request: int, most?: int, sort?: str, route?: str | None, pod?: str | None
Question      places            1  request: int
Question      counts            1  request: int
Question      endpoints         1  request: int
Question      close             1  request: int, id: str
Rows          tunnel_rows       1  request: int, more: bool, rows: tuple[TunnelRow, ...]
Rows          place_rows        1  request: int, more: bool, rows: tuple[PlaceRow, ...]
Rows          count_rows        1  request: int, more: bool, rows: tuple[CountRow, ...]
Rows          endpoint_rows     1  request: int, more: bool, rows: tuple[EndpointRow, ...]
Rows          closed_rows       1  request: int, more: bool, rows: tuple[ClosedRow, ...]
Rows          unknown_question  1  request: int, more: bool, rows: tuple[Row, ...]
Reading       summary           1  text: str, read: tuple[int, ...] | None, listeners: Mapping[str, tuple[Address, \
...]], workers: int, drain: float, format: str, warnings?: tuple[str, ...], changes?: tuple[str, ...], \
needs_restart?: tuple[str, ...], rules?: Mapping[str, str], traces?: bool, discovery?: bool, tls?: TlsSettings, \
more?: Mapping[str, object]
Reading       faults            1  faults: tuple[str, ...], read?: tuple[int, ...] | None
TemplateOrder fork              1  request: int, program: str, words: tuple[str, ...], numbers: tuple[int, ...], \
group?: bool
TemplateOrder parse             1  request: int, path: str
TemplateReport loaded           1
TemplateReport parsed           1  request: int
TemplateReport forked           1  request: int, pid: int, error?: int
TlsOrder      tls_configure     1  request: int
TlsOrder      tls_attend        1
TlsOrder      tls_retire        1
TlsReport     tls_ready         1
TlsReport     tls_configured    1  request: int, faults?: tuple[str, ...]
TlsReport     tls_profile       1  profile: ProfileFacts
TlsReport     tls_crash         1  traceback: str
TlsTask       tls_serve         1  profile: str
TlsTask       tls_reach         1  upstream: str, sni: str | None, names: tuple[str, ...]
VaultTlsOrder vault_tls_use     1  request: int, renew?: bool
VaultTlsOrder vault_tls_attend  1  row: int
VaultTlsReport vault_tls_used    1  request: int, faults?: tuple[str, ...]
VaultTlsReport vault_tls_table   1
VaultTlsReport vault_tls_state   1  processes?: tuple[TlsProcessFacts, ...], restarts?: int
VaultTlsReport vault_tls_profile 1  profile: ProfileFacts
"""

# Their parts, and what processes are started with; the same holds.
PARTS = """
Arrival              via: str, port?: int, secure?: bool, facts?: tuple[tuple[str, str], ...], \
local?: tuple[str, int] | None
OperatorDrains       all?: float | None, pods?: Mapping[str, float], routes?: Mapping[str, float]
Reloads              ok?: int, failed?: int, last_ok?: bool, last_at?: float | None, faults?: tuple[str, ...]
EdgeFacts            generation?: int, workers?: int, draining?: bool, drains?: OperatorDrains, reloads?: Reloads, \
restarts?: int, discovery_restarts?: int, tls_restarts?: int, tls_processes?: tuple[TlsProcessFacts, ...], \
tls_profiles?: tuple[str, ...]
TunnelRow            id: str, route: str | None, pod: str, upstream: str | None, endpoint: str | None, client: str, \
path: str, protocol: str | None, age_s: float, idle_s: float, bytes_to_pod: int, bytes_to_client: int, worker: int, \
adopted: int, client_rtt_ms: float | None, client_retransmits: int | None, pod_rtt_ms: float | None, \
pod_retransmits: int | None, via?: str | None, host?: str | None, rate?: float | None
PlaceRow             route: str, pod: str, upstream: str, endpoint: str, tunnels: int
CountRow             tunnels: tuple[tuple[str, str, int], ...], to_pod: int, to_client: int, slot: int
EndpointRow          upstream: str, pod: str, address: str, port: int, source: str, tunnels: int, state: str, \
failure: str | None, since_s: float | None, requests?: int
OutcomeRow           upstream: str, address: str, port: int, pod: str, reason: str
UsedRow              upstream: str, host: str, address: str, port: int
ClosedRow            closed: str
Row
Place                control: int, board: int, row: int, version?: int, routes?: int | None, loads?: int | None, \
endpoints?: int | None, tls?: int | None, connects?: int | None
VaultConnection      fd?: int | None, version?: int, path?: str | None
WorkerArguments      place: Place, path: str, vault?: VaultConnection, metrics?: str | None
AdminArguments       place: Place, path: str, format: str, metrics?: str | None
DiscoveryArguments   place: Place, path: str, format: str, metrics?: str | None
SupervisorArguments  path: str, vault?: str | None, watch?: bool, last_good?: str | None, control?: str | None, \
state?: int | None, reread?: bool, read?: tuple[int, ...] | None, made?: bool, template?: StartedTemplate | None
StartedTemplate      pid: int, control: int
TemplateArguments    control: int, version?: int
VaultArguments       socket: str, keep: float, tls?: bool
CertificateFacts     path: str, names: tuple[str, ...], not_before: float, not_after: float, key: str, \
fingerprint: str
CertificateFiles     folder?: str, chain?: str, key?: str
ClientCertificate    fingerprint: str, subject?: str, uris?: tuple[str, ...], dns?: tuple[str, ...], pem?: str, \
ours?: str | None, ips?: tuple[str, ...], forward?: bool
PodProfile           ca: str, certificate?: CertificateFiles | None, min_version?: str, ciphers?: str, \
crl?: str | None
ProfileFacts         name: str, side: str, certificates: tuple[CertificateFacts, ...], fault?: str | None, \
warnings?: tuple[str, ...]
ServerProfile        certificates: tuple[CertificateFiles, ...], unknown_name?: str, min_version?: str, \
ciphers?: str, session_tickets?: bool, client_certificate?: str, client_ca?: str | None, client_crl?: str | None, \
client_names?: tuple[str, ...], forward_certificate?: str
TlsArguments         place: Place
TlsFacts             version: str, cipher: str, sni?: str | None, resumed?: bool, seconds?: float, row?: int, \
entry?: int, serial?: int, peer?: ClientCertificate | None, port?: int, local?: tuple[str, int] | None
TlsFailure           reason: str, detail?: str, sni?: str | None
TlsProcessFacts      pid: int, row: int, generation: int, state: str
TlsSettings          processes?: int, servers?: Mapping[str, ServerProfile], pods?: Mapping[str, PodProfile]
"""


def _all() -> list[tuple[type[Message], type[Message]]]:
    return [(border, cls) for border in BORDERS for cls in border.KINDS.values()]


def _parts() -> list[type]:
    found = {
        cls
        for module in (arguments, arrival, endpoint_reports, facts, queries, tls_facts, tls_messages)
        for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)
        if isinstance(cls, type) and not issubclass(cls, Message)
    }
    return sorted(found, key=lambda cls: str(cls.__name__))


def _fields(cls: Any) -> str:
    missing = dataclasses.MISSING
    return ", ".join(
        f"{field.name}{'' if field.default is missing and field.default_factory is missing else '?'}: {field.type}"
        for field in dataclasses.fields(cls)
    )


def _lines(table: str) -> list[str]:
    return [" ".join(line.split()) for line in table.strip().splitlines()]


def test_all_messages_are_as_other_versions_know_them() -> None:
    found = [f"{border.__name__} {cls.KIND} {cls.SINCE} {_fields(cls)}".strip() for border, cls in _all()]
    assert sorted(found) == sorted(_lines(MESSAGES))


def test_their_parts_and_the_arguments_are_as_other_versions_know_them() -> None:
    found = [f"{cls.__name__} {_fields(cls)}".strip() for cls in _parts()]
    assert sorted(found) == sorted(_lines(PARTS))


@pytest.mark.parametrize("cls", dict.fromkeys(cls for _, cls in _all()))
def test_every_message_says_what_it_is(cls: type[Message]) -> None:
    assert inspect.getdoc(cls)
    assert re.fullmatch("[a-z]+(_[a-z]+)*", cls.KIND)
    assert wire.VERSION >= cls.SINCE >= 1
    assert not {field.name for field in dataclasses.fields(cls)} & ENVELOPE  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [cls for _, cls in _all() if issubclass(cls, Request)])
def test_every_request_has_an_answer_that_comes_back(cls: type[Request]) -> None:
    back = {
        WorkerOrder: WorkerReport,
        AdminOrder: AdminReport,
        DiscoveryOrder: DiscoveryReport,
        Question: Rows,
        TemplateOrder: TemplateReport,
        TlsOrder: TlsReport,
        VaultTlsOrder: VaultTlsReport,
    }
    [border] = [border for border in back if issubclass(cls, border)]
    assert issubclass(cls.ANSWER, Answer)
    assert issubclass(cls.ANSWER, back[border])


# ---- what is sent is what comes ----


@settings(max_examples=examples(25))
@given(st.data())
@pytest.mark.parametrize(("border", "cls"), _all())
def test_what_is_sent_is_what_comes(border: type[Message], cls: type[Message], data: st.DataObject) -> None:
    sent = data.draw(values(cls))
    ours, its = channel()
    with ours, its:
        wire.send(ours, sent)
        heard = wire.receive(its, border)
    assert heard is not None
    assert heard.message == sent
    assert type(heard.message) is type(sent)


@settings(max_examples=examples(25))
@given(st.data())
@pytest.mark.parametrize("cls", _parts())
def test_what_a_process_is_started_with_is_what_it_gets(cls: type, data: st.DataObject) -> None:
    given_to_it = data.draw(values(cls))
    assert from_json(cls, to_json(given_to_it)) == given_to_it


# ---- two versions ----


def _raw(message: Message) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(to_json(message))
    return {"version": wire.VERSION, "kind": message.KIND, **raw}


@pytest.mark.parametrize(("border", "cls"), _all())
def test_what_a_newer_version_says_besides_is_ignored(border: type[Message], cls: type[Message]) -> None:
    said = sample(cls)
    understood: Any = understand(border, {**_raw(said), "later": {"a": [1]}})
    kept: dict[str, Any] = {"more": {}} if cls is facts.ConfigSummary else {}  # it is passed on: see its own test
    assert dataclasses.replace(understood, **kept) == said


@pytest.mark.parametrize(("border", "cls"), _all())
def test_what_an_older_version_does_not_say_has_a_default(border: type[Message], cls: Any) -> None:
    needed = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    raw = {name: value for name, value in _raw(sample(cls)).items() if name in needed | {"kind"}}
    assert isinstance(understand(border, raw), cls)
    for name in needed:
        with pytest.raises(MalformedError, match=f"{cls.__name__}: {name} missing"):
            understand(border, {key: value for key, value in raw.items() if key != name})


def test_a_message_that_came_later_is_none_of_ours() -> None:
    assert understand(WorkerOrder, {"kind": "dance"}) is None
    assert understand(WorkerOrder, {"kind": "ready"}) is None, "it is another border's"


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"kind": 1},
        {"kind": "serve"},
        {"kind": "serve", "request": 1, "slot": "1", "slots": 1, "draining": False, "listeners": {}},
        {"kind": "serve", "request": 1, "slot": True, "slots": 1, "draining": False, "listeners": {}},
        {"kind": "serve", "request": 1, "slot": 1, "slots": 1, "draining": 0, "listeners": {}},
        {"kind": "serve", "request": 1, "slot": 1, "slots": 1, "draining": False, "listeners": {"listen": "1"}},
        {"kind": "drains", "request": 1, "drains": None},
        {"kind": "drains", "request": 1, "drains": {"pods": ["pod-1"]}},
    ],
)
def test_what_is_no_message_is_one_clear_error(raw: dict[str, Any]) -> None:
    with pytest.raises(MalformedError) as told:
        understand(WorkerOrder, raw)
    assert len(str(told.value).splitlines()) == 1


def test_examples_of_the_wire() -> None:
    """As it has been since version 1."""
    order = Serve(7, slot=1, slots=2, draining=False, listeners={"listen": 1})
    assert json.loads(to_json(order)) == {
        "request": 7,
        "slot": 1,
        "slots": 2,
        "draining": False,
        "listeners": {"listen": 1},
        "rules": [],
    }
    assert from_object(Prepare, {"request": 1}) == Prepare(1)
    assert from_object(Retire, {}) == Retire(None, None, 1)
    drains = {"request": 2, "drains": {"all": 1, "routes": {"call": 2.5}}}
    assert from_object(FollowDrains, drains) == FollowDrains(2, facts.OperatorDrains(1.0, {}, {"call": 2.5}))


# ---- listeners ----


def test_who_accepts_gets_sockets_by_name() -> None:
    """A name that another version has is no reason to take its sockets for others."""
    assert by_listener([5, 6, 7, 8], {"listen": 2, "tls": 1, "metrics": 1}) == {
        "listen": [5, 6],
        "tls": [7],
        "metrics": [8],
    }
    assert by_listener([], {"listen": 0}) == {"listen": []}


def test_every_listener_is_of_a_process_that_accepts() -> None:
    assert LISTENERS == {"listen": "worker", "admin": "admin", "metrics": "admin"}
