"""The API server of the tests says what a real one said (wire.txt)."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from tests.discovery.asking import PATH, SELECTOR, ask
from tests.discovery.wire import Section, pods, section, sections, shape, short, short_of, whole
from tests.kit.kubernetes.controller import Pod
from tests.kit.kubernetes.server import Server

_PORTS = {"ws": 20800}
_REFUSED = [each for each in sections() if each.status >= 400]
_THREE = [
    Pod("voice-agent-0", "10.244.1.16", node="node-1", zone="a"),
    Pod("voice-agent-1", "10.244.2.17", node="node-2", zone="b"),
    Pod("voice-agent-2", "10.244.3.18", node="node-3", zone="c"),
]


@pytest.fixture
def server() -> Server:
    made = Server()
    made.controller.sync("voice", "voice-agent", _THREE, _PORTS)
    return made


def test_the_file_has_what_is_compared() -> None:
    assert len(_REFUSED) == 9
    assert {each.status for each in _REFUSED} == {400, 401, 403, 404, 406, 410, 422, 500}


async def test_a_list(server: Server, autojump_clock: MockClock) -> None:
    real = section("GET /apis")
    heard = await ask(server, f"{PATH}?{SELECTOR}")
    assert heard.status == 200
    assert shape(json.loads(heard.body)) == shape(json.loads(real.lines[0]))
    assert "kind" not in json.loads(heard.body)["items"][0]


@pytest.mark.parametrize("real", _REFUSED, ids=lambda real: real.title[:40])
async def test_a_refusal(real: Section, server: Server, autojump_clock: MockClock) -> None:
    server.storage.compact()
    target = real.target if real.target.startswith("/") else f"{PATH}?{SELECTOR}&watch=1&{real.target}"
    heard = await ask(server, target, real.sent)
    assert (heard.status, heard.reason) == (real.status, real.reason)
    text = _said(real.lines[0])
    if text.endswith("..."):
        text = text.removesuffix("...").rstrip()
        assert json.dumps(json.loads(heard.body))[: len(text)] == text or heard.body[: len(text)] == text
    else:
        assert json.loads(heard.body) == json.loads(text)
    names = [name for name, _ in heard.headers]
    assert names == [part.partition(":")[0] for part in real.headers if not part.startswith("X-Kubernetes-Pf")]


def _said(line: str) -> str:
    return line.partition(" B  ")[2] or line.strip().replace("{   ", "{").replace(",   ", ", ")


@pytest.mark.parametrize(
    "title",
    [
        "watch, no resourceVersion",
        "watch, resourceVersion=0",
        "watch, sendInitialEvents:",
        "watch, from the future",
        "watch without a list before it: allow",
    ],
)
async def test_a_watch_begins(title: str, server: Server, autojump_clock: MockClock) -> None:
    real = section(title) if "before it" not in title else None
    query = real.target if real else "allowWatchBookmarks=true&timeoutSeconds=2"
    heard = await ask(server, f"{PATH}?{SELECTOR}&watch=1&{query}")
    assert (heard.status, dict(heard.headers)["Transfer-Encoding"]) == (200, "chunked")
    kinds = [json.loads(text)["type"] for _, text in heard.lines]
    if real is None:
        assert kinds == ["ADDED", "BOOKMARK"]
    else:
        assert kinds == [short(line).kind for line in real.lines]
    assert heard.seconds == pytest.approx(float(query.rpartition("timeoutSeconds=")[2]))


async def test_a_watch_that_is_too_old(server: Server, autojump_clock: MockClock) -> None:
    server.storage.compact()
    real = section("watch, resourceVersion=1:")
    heard = await ask(server, f"{PATH}?{SELECTOR}&watch=1&{real.target}")
    [(_, text)] = heard.lines
    said = json.loads(text)
    message = f"too old resource version: 1 ({server.storage.oldest})"
    assert said == whole(real.lines[0]) | {"object": whole(real.lines[0])["object"] | {"message": message}}
    assert heard.seconds < 1


async def test_the_bookmark_at_the_end_and_that_after_the_beginning(server: Server, autojump_clock: MockClock) -> None:
    real = section("watch, sendInitialEvents:")
    begun = await ask(server, f"{PATH}?{SELECTOR}&watch=1&{real.target}")
    expected = whole(real.lines[-1])
    expected["object"]["metadata"]["resourceVersion"] = str(server.storage.version)
    assert json.loads(begun.lines[-1][1]) == expected
    query = f"watch=1&resourceVersion={server.storage.version}&allowWatchBookmarks=true&timeoutSeconds=150"
    heard = await ask(server, f"{PATH}?{SELECTOR}&{query}")
    assert [round(time) for time, _ in heard.lines] == [60, 120, 148]
    assert shape(json.loads(heard.lines[-1][1])) == shape(whole(section("GET ...").lines[-1]))


async def test_what_pods_do_is_seen_as_the_real_one_showed_it(server: Server, autojump_clock: MockClock) -> None:
    real = section("GET ...")
    steps = [short(line) for line in real.lines[:-1]]

    async def change() -> None:
        for step in steps:
            await trio.sleep(0.1)
            server.controller.sync("voice", "voice-agent", pods(step.endpoints), _PORTS)

    version = server.storage.version
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        query = f"watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=25"
        heard = await ask(server, f"{PATH}?{SELECTOR}&{query}")
    events = [json.loads(text) for _, text in heard.lines]
    assert [short_of(event) for event in events] == [short(line) for line in real.lines]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events[:-1]]
    assert all(a < b for a, b in pairwise(versions))
    first = whole(real.lines[0])
    assert shape(events[0]) == shape(first)


async def test_a_large_service(server: Server, autojump_clock: MockClock) -> None:
    """Two slices of 100 and 30; of those, the one whose pods all go is deleted with its last state."""
    many = [Pod(f"big-{i}", f"10.1.0.{i}", hostname=False) for i in range(130)]
    server.controller.sync("voice", "big", many, _PORTS)
    path = f"{PATH}?labelSelector=kubernetes.io/service-name%3Dbig"
    listed = json.loads((await ask(server, path)).body)
    assert sorted(len(item["endpoints"]) for item in listed["items"]) == [30, 100]
    version = listed["metadata"]["resourceVersion"]
    server.controller.sync("voice", "big", many[:20], _PORTS)
    server.controller.remove("voice", "big")
    heard = await ask(server, f"{path}&watch=1&resourceVersion={version}&timeoutSeconds=1")
    events = [json.loads(text) for _, text in heard.lines]
    seen = [(event["type"], len(event["object"]["endpoints"])) for event in events]
    assert sorted(seen[:2]) == [("DELETED", 30), ("MODIFIED", 20)]
    assert seen[2:] == [("DELETED", 20)]
