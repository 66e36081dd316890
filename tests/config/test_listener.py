"""The entries of `server.listen`."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from splicer.config.addresses import ListenAddress
from splicer.config.lint import warnings
from splicer.config.listener import EVERYBODY, LISTENERS, Listener, from_text, to_text
from splicer.config.load import load
from splicer.errors import ConfigError

_ONE, _OTHER = ListenAddress("127.0.0.1", 80), ListenAddress("::1", 81)
_ROUTE = '[[routes]]\nname = "a"\nprefix = "/"\nrespond = { status = 200 }\n'


def _listen(value: str) -> str:
    return f"[server]\nlisten = {value}\n{_ROUTE}"


@pytest.mark.parametrize(
    ("value", "listeners"),
    [
        ("127.0.0.1:80", (Listener(_ONE),)),
        (["127.0.0.1:80", "[::1]:81"], (Listener(_ONE), Listener(_OTHER))),
        ({"address": "127.0.0.1:80"}, (Listener(_ONE),)),
        ([{"address": "127.0.0.1:80", "proxy_protocol": "required"}], (Listener(_ONE, EVERYBODY),)),
        (
            ["[::1]:81", {"address": "127.0.0.1:80", "proxy_protocol": ["10.0.0.0/8", "::1"], "vendor": "gcp"}],
            (Listener(_OTHER), Listener(_ONE, (ip_network("10.0.0.0/8"), ip_network("::1/128")), "gcp")),
        ),
        (["127.0.0.1:0"] * 2, (Listener(ListenAddress("127.0.0.1", 0)),) * 2),
    ],
)
def test_entries(value: Any, listeners: tuple[Listener, ...]) -> None:
    assert LISTENERS.parse(value) == listeners
    assert LISTENERS.parse(LISTENERS.write(listeners)) == listeners
    assert [from_text(to_text(each)) or Listener(each.address) for each in listeners] == list(listeners)


def test_an_address_alone_is_written_as_one() -> None:
    assert LISTENERS.write((Listener(_ONE), Listener(_OTHER, EVERYBODY))) == [
        "127.0.0.1:80",
        {"address": "[::1]:81", "proxy_protocol": "required", "passthrough": False},
    ]
    assert to_text(Listener(_ONE)) == ""
    assert LISTENERS.brief is not None
    assert LISTENERS.brief((Listener(_ONE), Listener(_OTHER, EVERYBODY, "aws"))) == (
        "127.0.0.1:80, [::1]:81 (proxy_protocol = required, vendor = aws)"
    )


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ("[]", ["server.listen: must not be empty: nobody could connect"]),
        ('["[::]:80", "[0::0]:80"]', ["server.listen: [::]:80 stands there twice"]),
        ('["127.0.0.1:0", { address = "127.0.0.1:0", proxy_protocol = "required" }]',
            ["server.listen: 127.0.0.1:0 stands there twice"]),
        ("{}", ["server.listen.address: is missing"]),
        ('[":80", { adress = ":81" }]', ['server.listen.2.adress: unknown key; did you mean "address"?']),
        ('[{ address = "a", vendor = "aws" }, 80]', [
            'server.listen.1.address: "a" has no port; write for example "0.0.0.0:8080"',
            'server.listen: must be an address with a port; write "0.0.0.0:80"']),
        ('{ address = ":80", vendor = "aws" }', ["server.listen.vendor: needs proxy_protocol"]),
        ('{ address = ":80", proxy_protocol = [], vendor = "amazon" }', [
            'server.listen.proxy_protocol: must not be empty: nobody would send a header; or write "required"',
            'server.listen.vendor: must be one of "aws", "gcp", "azure", not "amazon"']),
        ('{ address = ":80", proxy_protocol = "optional" }', [
            'server.listen.proxy_protocol: must be a list; write ["optional"]; or write "required"']),
        ('{ address = ":80", proxy_protocol = ["10.0.0.1/8"] }', [
            'server.listen.proxy_protocol: "10.0.0.1/8" is an address within a network; the network is "10.0.0.0/8"']),
        ('{ address = ":80", proxy_protocol = [' + ", ".join(f'"10.0.{n}.0/24"' for n in range(256)) + ', "::1"] }', [
            "server.listen: has 257 networks, and at most 256 may stand there; write wider ones"]),
        ('[{ address = "127.0.0.1:9901" }]', ["server.admin: 127.0.0.1:9901 is taken by server.listen"]),
    ],
)  # fmt: skip
def test_faults(value: str, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as told:
        load(_listen(value), name="f", environ={})
    assert list(told.value.faults) == [f"f: {fault}" for fault in faults]


# Whoever reaches such an address names any client.
@pytest.mark.parametrize(
    ("listener", "warned"),
    [
        ('{ address = "0.0.0.0:80", proxy_protocol = "required" }', True),
        ('{ address = "0.0.0.0:80", proxy_protocol = ["0.0.0.0/0", "::/0"] }', True),
        ('{ address = "127.0.0.1:80", proxy_protocol = "required" }', False),
        ('{ address = "0.0.0.0:80", proxy_protocol = ["10.0.0.0/8"] }', False),
        ('"0.0.0.0:80"', False),
    ],
)
def test_headers_of_everybody_are_warned_of(listener: str, *, warned: bool) -> None:
    told = [line for line in warnings(load(_listen(f"[{listener}]"), environ={})) if "proxy_protocol" in line]
    assert told == warned * [
        'server.listen.1.proxy_protocol: "required": whoever reaches 0.0.0.0:80 can name any client address; write '
        'the networks of the load balancers, such as ["10.0.0.0/8"]'
    ]
