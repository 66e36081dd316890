from __future__ import annotations

import pytest

from splicer.config.diff import diff, needs_restart
from splicer.config.dump import as_tables
from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError

_SERVER = '[server]\nlisten = { address = "127.0.0.1:443", passthrough = true }\n'
_REST = """
[upstreams.grpc]
address = "10.0.0.1:443"
[upstreams.rtc]
address = "{label}.rtc.svc.cluster.local:443"
allow = ["10.0.0.0/8"]
[[routes]]
name = "a"
prefix = "/"
respond = { status = 200 }
"""
_GRPC = '[[passthrough]]\nnames = ["GRPC.example.com"]\nupstream = "grpc"\n'
_RTC = '[[passthrough]]\nnames = ["*.rtc.example.com"]\nupstream = "rtc"\ndeadlines = { idle = "5m" }\n'


def _load(tables: str, server: str = _SERVER) -> Config:
    return load(server + tables + _REST, name="f", environ={})


def test_tables() -> None:
    config = _load(_GRPC + _RTC)
    grpc, rtc = config.passthrough
    assert (grpc.names, grpc.upstream.name, grpc.deadlines) == (("grpc.example.com",), "grpc", config.deadlines)
    assert (rtc.names, rtc.upstream.name, rtc.deadlines.idle) == (("*.rtc.example.com",), "rtc", 300.0)
    assert config.server.listen[0].passthrough
    assert warnings(config) == ()


def test_they_are_written_with_every_deadline() -> None:
    written = as_tables(_load(_RTC))["passthrough"]
    assert written == [
        {
            "names": ["*.rtc.example.com"],
            "upstream": "rtc",
            "deadlines": {
                "resolve": "2s",
                "connect": "3s",
                "attempts": "15s",
                "idle": "5m",
                "half_closed": "30s",
                "lifetime": "never",
            },
        }
    ]


@pytest.mark.parametrize(
    ("tables", "faults"),
    [
        ('[[passthrough]]\n', ["passthrough 1: names: is missing", "passthrough 1: upstream: is missing"]),
        ('[[passthrough]]\nnames = []\nupstream = "grpc"\n',
            ["passthrough 1: names: must not be empty: no connection would be passed through"]),
        ('[[passthrough]]\nnames = ["10.0.0.1", "a b", "*.com", "a.*.com", "a."]\nupstream = "grpc"\n', [
            'passthrough 1: names: "10.0.0.1": clients ask for no address by name (RFC 6066 §3)',
            'passthrough 1: names: "a b" is no host name, nor "*." and one, such as "*.rtc.example.com"',
            'passthrough 1: names: "*.com" is every name of a top-level domain; write for example "*.rtc.com"',
            'passthrough 1: names: "a.*.com" is no host name, nor "*." and one, such as "*.rtc.example.com"',
            'passthrough 1: names: "a." is no host name, nor "*." and one, such as "*.rtc.example.com"']),
        (_GRPC + _GRPC.lower(), ['passthrough 2: names: passthrough 1 has "grpc.example.com" already']),
        (_GRPC.replace('"grpc"', '"grcp"'), ['passthrough 1: upstream: unknown upstream "grcp"; did you mean "grpc"?']),
        (_GRPC.replace('"grpc"', '"rtc"'), [
            'passthrough 1: names: "grpc.example.com" has no star, and "{label}.rtc.svc.cluster.local:443" needs what '
            "one stands for"]),
        (_GRPC + 'deadlines = { connect = "1s", response = "2s" }\n',
            ['passthrough 1: deadlines.response: unknown key']),
        (_GRPC + 'proxy_protocol = "v2"\n', ["passthrough 1: proxy_protocol: unknown key"]),
    ],
)  # fmt: skip
def test_faults(tables: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as told:
        _load(tables)
    assert [fault.partition("; did you mean")[0] for fault in told.value.faults] == [
        f"f: {fault}".partition("; did you mean")[0] for fault in faults
    ]


def test_a_capture_that_no_star_gives() -> None:
    with pytest.raises(ConfigError) as told:
        load((_SERVER + _RTC + _REST).replace("{label}", "{pod}"), name="f", environ={})
    assert told.value.faults == (
        'f: passthrough 1: upstream: "{pod}.rtc.svc.cluster.local:443" needs {pod}; a name gives {label} alone',
    )


@pytest.mark.parametrize(
    ("server", "tables", "fault"),
    [
        ("", _GRPC, "passthrough: no entry of server.listen has passthrough = true, so no connection gets here"),
        (_SERVER, "", "server.listen.1.passthrough: there is no [[passthrough]]; write one, or leave the key out"),
        (
            "passthrough = 1\n",
            "",
            "passthrough: must be an array of tables, not 1; write [[passthrough]] above each table",
        ),
    ],
)
def test_a_table_needs_a_listener_and_a_listener_a_table(server: str, tables: str, fault: str) -> None:
    with pytest.raises(ConfigError) as told:
        _load(tables, server)
    assert f"f: {fault}" in told.value.faults


def test_what_has_changed() -> None:
    old, new = (
        _load(_GRPC + _RTC),
        _load(_GRPC.replace('"grpc"', '"rtc"').replace("GRPC", "*") + _RTC.replace("5m", "6m")),
    )
    assert diff(old, new) == (
        'passthrough: added "*.example.com"',
        'passthrough: removed "grpc.example.com"',
        'passthrough "*.rtc.example.com": deadlines.idle 5m → 6m',
    )
    assert needs_restart(old, new) == ()
