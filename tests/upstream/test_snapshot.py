"""The endpoint snapshot as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.policy.endpoint_flags import KnownEndpoint, Verdict
from splicer.policy.tiers import Key
from splicer.upstream.snapshot import LEASE, EndpointSnapshot, Found, encode
from tests.kit.laws import examples
from tests.upstream.snapshots import Snapshot, found, row

KEY, OTHER = "voice/agent:8000", "voice/router:http"
times = st.floats(0, 1e9)
words = st.text(max_size=5)
endpoints = st.builds(KnownEndpoint, words, words, st.integers(1, 65535), st.integers(0, 7), words, times)
services = st.builds(Found, st.booleans(), times, st.none() | st.lists(endpoints, max_size=4).map(tuple))
verdicts = st.builds(Verdict, st.integers(0, 127), times, times)


@settings(max_examples=examples(40))
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from([KEY, OTHER, "a/b:80"]), services),
            st.dictionaries(st.tuples(words, st.integers(1, 65535)), verdicts, max_size=3),
        ),
        max_size=4,
    )
)
def test_what_is_published_is_what_is_read(published: list[tuple[dict[str, Found], dict[Key, Verdict]]]) -> None:
    it = Snapshot()
    for of_all, judged in published:
        it.publish(of_all, judged)
        for key in (KEY, OTHER):
            known = it.reader.service(key)
            assert (None if known is None else known.found) == of_all.get(key)
        assert it.reader.verdicts == judged
        assert it.reader.services == of_all
    assert it.reader.generation == len(published)


def test_before_the_first_one_nothing_is_known() -> None:
    it = Snapshot()
    assert (it.reader.service(KEY), it.reader.verdicts, it.reader.services) == (None, {}, {})


def test_only_what_has_changed_and_is_asked_for_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, parse = [], json.loads

    def loads(raw: bytes) -> object:
        parsed.append(raw)
        return parse(raw)

    monkeypatch.setattr(json, "loads", loads)
    it, agent = Snapshot(), found(row("agent-0", "10.0.0.1"))
    it.publish({KEY: agent, OTHER: found()})
    for _ in range(3):
        assert it.reader.service(KEY) is it.reader.service(KEY)
    assert len(parsed) == 1
    known, judged = it.reader.service(KEY), it.reader.verdicts
    it.publish({KEY: agent, OTHER: found(synced=False)})
    assert it.reader.service(KEY) is known, "it is the same, and so is what was made of it"
    assert it.reader.verdicts is judged
    assert len(parsed) == 1
    it.publish({KEY: agent, OTHER: found()}, {("10.0.0.1", 80): Verdict(16)})
    assert it.reader.service(KEY) is known
    assert len(parsed) == 1
    it.publish({KEY: found(), OTHER: found()})
    assert it.reader.service(KEY) is not known
    assert len(parsed) == 2


def test_a_service_that_is_not_there_any_more_is_forgotten() -> None:
    it = Snapshot()
    it.publish({KEY: found()})
    assert it.reader.service(KEY) is not None
    it.publish({})
    assert it.reader.service(KEY) is None
    assert it.reader._services == {}


def test_a_pod_is_found_by_its_name() -> None:
    it = Snapshot()
    rows = row("agent-0", "10.0.0.1"), row("agent-1", "10.0.0.2"), row("agent-0", "fd00::1")
    it.publish({KEY: found(*rows)})
    known = it.reader.service(KEY)
    assert known is not None
    assert list(known.of_pod("agent-0")) == [rows[0], rows[2]]
    assert list(known.of_pod("agent-2")) == []


def _publish(it: Snapshot, text: bytes) -> None:
    it.writer.publish(text)


def test_what_a_newer_program_adds_is_ignored() -> None:
    it = Snapshot()
    text = encode({KEY: found(row("agent-0", "10.0.0.1"))}, {("10.0.0.1", 80): Verdict(16, 2.0, 3.0)})
    newer = text.replace(b'"zone-a",2.5]', b'"zone-a",2.5,"more"]').replace(b"2.0,3.0]", b"2.0,3.0,4]")
    _publish(it, newer + b"\nlater\t{}\nanother")
    known = it.reader.service(KEY)
    assert known is not None
    assert known.found == found(row("agent-0", "10.0.0.1"))
    assert it.reader.verdicts == {("10.0.0.1", 80): Verdict(16, 2.0, 3.0)}


def test_a_text_of_a_strange_version_changes_nothing() -> None:
    it = Snapshot()
    it.publish({KEY: found()})
    assert it.reader.service(KEY) is not None
    for text in (b"version\t3\n", b"", b"version\t-1", b"nonsense"):
        _publish(it, text)
        known = it.reader.service(KEY)
        assert known is not None
        assert known.found == found()


@given(st.binary(max_size=40))
def test_nonsense_is_no_service_and_no_verdict(text: bytes) -> None:
    it = Snapshot()
    line = text.replace(b"\n", b"")
    _publish(it, b"version\t1\nservice voice/agent:8000\t" + line + b"\nverdicts\t" + line)
    assert it.reader.service(KEY) is None
    assert isinstance(it.reader.verdicts, dict)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"synced":true,"since":1,"rows":[1]}', b'{"rows":[["a"]]}', b"[]"])
def test_what_has_another_form_is_no_service(raw: bytes) -> None:
    it = Snapshot()
    _publish(it, b"version\t1\nservice voice/agent:8000\t" + raw + b"\nverdicts\t" + raw)
    assert it.reader.service(KEY) is None
    assert it.reader.verdicts == {}


def test_without_a_sign_of_life_nothing_is_current() -> None:
    it = Snapshot()
    now = [1000.0]
    reader = EndpointSnapshot(it.memory, lambda: now[0])
    in_step, lost = found(), found(synced=False)
    it.writer.renew(1000.0)
    assert reader.is_current(in_step)
    assert not reader.is_current(lost)
    assert reader.stale_since(lost) == lost.since
    now[0] += LEASE
    assert not reader.is_current(in_step)
    assert reader.stale_since(in_step) == 1000.0
    it.writer.renew(now[0])
    assert reader.is_current(in_step)
