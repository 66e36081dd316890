"""The configuration in force, and what names in it resolve to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from splicer.admin.dispatch import Refused
from splicer.configfile.read import Prepared, prepare
from tests.admin.rig import CONFIG, Rig, rig

_AUTOJUMP_THRESHOLD = 0.05  # real seconds in which nothing happens, after which the clock jumps
_BROKEN = "[server]\nlisten = 7\n"


async def test_whoever_comes_before_it_waits_and_no_longer_than_five_seconds(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    async with rig(None) as admin:
        assert admin.current.now is None
        begun = trio.current_time()
        with pytest.raises(Refused, match="has not been read yet"):
            await admin.current.config()
        assert trio.current_time() - begun == pytest.approx(5.0)


async def test_the_newest_configuration_wins_and_one_that_can_not_be_read_changes_nothing() -> None:
    async with rig() as admin:
        for port in (*range(9000, 9020), "x", 9100):
            admin.current.learn(CONFIG.replace('"pods.test:8000', f'"pods.test:{port}'))
        await _until_its_port_is(admin, "9100")
        admin.current.learn(_BROKEN)
        admin.current.learn(CONFIG)
        await _until_its_port_is(admin, "8000")
        admin.current.learn(_BROKEN)
        await trio.to_thread.run_sync(admin.wait_for_a_line)
        await _until_its_port_is(admin, "8000")
        [line] = admin.logged()
        assert (line["event"], line["file"]) == ("config_unread", "routing.toml")
        assert "listen" in line["error"]


# Two at a time could overtake each other.
async def test_one_configuration_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reading: list[str] = []
    together: list[int] = []

    def slowly(text: str, path: Path, environ: Mapping[str, str]) -> Prepared:
        reading.append(text)
        time.sleep(0.02)
        together.append(len(reading))
        reading.remove(text)
        return prepare(text, path, environ)

    monkeypatch.setattr("splicer.admin.current_config.prepare", slowly)
    async with rig() as admin:
        for port in (9001, 9002, 9003):
            admin.current.learn(CONFIG.replace('"pods.test:8000', f'"pods.test:{port}'))
            await trio.sleep(0.01)
        await _until_its_port_is(admin, "9003")
        assert set(together) == {1}


async def _until_its_port_is(admin: Rig, port: str) -> None:
    with trio.fail_after(20):
        while not (await admin.current.config()).upstreams["any-pod"].text.endswith(port):  # noqa: ASYNC110 - a test
            await trio.sleep(0.01)


_TWO_PORTS = """
[upstreams.signal]
address = "{pod}.signals.test:9000"
allow = ["127.0.0.0/8"]
[upstreams.two]
address = "{pod}.{zone}.test:9000"
allow = ["127.0.0.0/8"]
[[routes]]
name = "two"
regex = '^/two/(?<pod>[^/]+)/(?<zone>[^/]+)$'
upstream = "two"
[[routes]]
name = "signal"
regex = '^/signal/(?<pod>[^/]+)$'
upstream = "signal"
"""


async def test_a_pods_addresses_are_those_of_all_upstreams_that_are_chosen_by_one_name() -> None:
    hosts = """[resolver.hosts]
"pod-1.signals.test" = "127.0.0.21"
"pod-9.signals.test" = "127.0.0.29"
"pod-1.zone.test" = "127.0.0.31\""""
    async with rig(CONFIG.replace("[resolver.hosts]", hosts) + _TWO_PORTS) as admin:
        assert await admin.current.addresses("pod-1") == {"127.0.0.11", "127.0.0.21"}
        assert await admin.current.addresses("pod-9") == {"127.0.0.29"}


async def test_an_unknown_pod_has_no_address_and_a_silent_name_server_costs_two_seconds(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = _AUTOJUMP_THRESHOLD
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as silent:
        await silent.bind(("127.0.0.1", 0))
        server = f'resolver.nameservers = ["127.0.0.1:{silent.getsockname()[1]}"]\n[resolver.hosts]'
        async with rig(CONFIG.replace("[resolver.hosts]", server)) as admin:
            begun = trio.current_time()
            assert await admin.current.addresses("pod-3") == frozenset()
            assert 1.5 <= trio.current_time() - begun <= 2.0


async def test_before_there_is_a_configuration_no_pod_has_an_address() -> None:
    async with rig(None) as admin:
        assert await admin.current.addresses("pod-1") == frozenset()


async def test_names_are_looked_up_as_the_newest_configuration_says() -> None:
    async with rig() as admin:
        assert await admin.current.addresses("pod-1") == {"127.0.0.11"}
        moved = CONFIG.replace('"127.0.0.11"\n', '"127.0.0.99"\n').replace("pods.test:8000", "pods.test:9100")
        admin.current.learn(moved)
        await _until_its_port_is(admin, "9100")
        assert await admin.current.addresses("pod-1") == {"127.0.0.99"}
