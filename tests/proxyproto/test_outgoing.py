from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.arrival import Arrival
from splicer.proxyproto.decode import decode
from splicer.proxyproto.facts import arrival
from splicer.proxyproto.header import Header, Place
from splicer.proxyproto.outgoing import client_header, local_header
from tests.kit.laws import examples
from tests.proxyproto.strategies import pairs

_CLIENT, _HERE = ("192.0.2.7", 4711), ("10.0.0.1", 443)


def _read(data: bytes) -> Header:
    found = decode(data)
    assert found is not None
    assert found[1] == len(data)
    return found[0]


@settings(max_examples=examples(50))
@given(pair=pairs(), version=st.sampled_from(["v1", "v2"]))
def test_the_client_and_where_it_connected_to(pair: tuple[Place, Place], version: str) -> None:
    header = _read(client_header(version, *pair, "abc"))
    assert (header.source, header.destination) == pair
    assert header.tlvs == (() if version == "v1" else ((0x05, b"abc"),))


def test_a_mapped_address_is_one_of_ipv4() -> None:
    assert client_header("v1", ("::ffff:192.0.2.7", 1), ("::ffff:10.0.0.1", 2), "") == (
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n"
    )


@pytest.mark.parametrize("place", [("", 0), ("unix", 1)])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_not_known_makes_a_connection_of_our_own(version: str, place: Place) -> None:
    assert client_header(version, place, _HERE, "abc") == local_header(version)
    assert client_header(version, _CLIENT, place, "abc") == local_header(version)
    assert _read(local_header(version)) == Header()


@pytest.mark.parametrize("name", [None, "caller"])
def test_what_is_known_of_tls_is_said(name: str | None) -> None:
    facts = [("tls_version", "TLSv1.3"), ("tls_cipher", "TLS_AES_256_GCM_SHA384"), ("tls_sni", "edge.example")]
    came = Arrival("10.0.0.9", 4711, True, (*facts, *([("tls_client", name)] if name else [])))
    told = arrival(_read(client_header("v2", _CLIENT, _HERE, "an-id", came)), "10.0.0.9")
    assert told is not None
    assert told.secure
    assert dict(told.facts) == dict(came.facts) | {"proxy_id": "an-id"}


def test_without_tls_nothing_is_said_of_it() -> None:
    came = Arrival("10.0.0.9", 4711, False, (("proxy_id", "theirs"),))
    assert _read(client_header("v2", _CLIENT, _HERE, "ours", came)).tlvs == ((0x05, b"ours"),)
