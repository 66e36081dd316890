"""The file that `splicer run --to` stands for."""

from __future__ import annotations

import stat
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from splicer.config.load import load
from splicer.config.scalars import BadValue
from splicer.errors import ConfigError
from splicer.model import authority
from splicer.ops.run_to import ADMIN, LISTEN, admin_of, directories, keep, listen_of, text_for, upstream_of

HOSTS = st.sampled_from(["app", "localhost", "a.b.c", "127.0.0.1", "::1"]) | st.ip_addresses().map(str)


@given(HOSTS, st.integers(1, 65535))
def test_it_loads_and_says_what_was_asked_for(host: str, port: int) -> None:
    to = upstream_of(authority(host, port))
    try:
        config = load(text_for(to, listen_of(LISTEN), admin_of(ADMIN)), environ={})
    except ConfigError as error:
        [fault] = error.faults
        assert "never dialled" in fault
        return
    upstream = config.upstreams["app"]
    assert (upstream.host.text, upstream.port) == (host, port)
    [route] = config.routes
    assert (route.upstream, tuple(route.upgrade)) == (upstream, ("websocket",))


@given(st.text(max_size=30))
@example("{:")
def test_nothing_else_gets_into_the_file(text: str) -> None:
    for read in (upstream_of, listen_of, admin_of):
        try:
            word = read(text)
        except BadValue:
            continue
        assert not set(word) & set('"\\\n{}$'), "it would need an escape"


@pytest.mark.parametrize("host", [IPv4Address("127.0.0.1"), IPv6Address("::1")])
def test_where_it_listens(host: IPv4Address | IPv6Address) -> None:
    assert listen_of(authority(str(host), 0)) == authority(str(host), 0)
    assert admin_of("off") == "off"


def test_it_is_kept_where_that_is_possible(tmp_path: Path) -> None:
    path = keep("text", [str(tmp_path / "missing"), str(tmp_path)])
    assert path is not None
    assert (path.parent, path.read_text()) == (tmp_path, "text")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keep("text", [str(tmp_path)]) != path
    assert keep("text", [str(tmp_path / "missing")]) is None


def test_the_users_own_directory_comes_first() -> None:
    assert directories({"XDG_RUNTIME_DIR": "/run/user/1000"})[0] == "/run/user/1000"
    assert directories({})[0] == "/dev/shm"
