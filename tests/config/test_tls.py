"""``[tls.NAME]``, the listeners that name one, and the routes that want a client's certificate."""

from __future__ import annotations

import pytest

from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.configfile.tls_settings import tls_settings
from splicer.errors import ConfigError
from splicer.ipc.tls_messages import ServerProfile, TlsSettings
from splicer.tls_facts import CertificateFiles

_ROUTE = """
[[routes]]
name = "all"
prefix = "/"
respond = { status = 200 }
"""
_SERVER = '[server]\nworkers = 3\nlisten = ["0.0.0.0:80", { address = "0.0.0.0:443", tls = "edge" }]\n'
_EDGE = '[tls.edge]\ncertificates = ["/certs/a"]\n'


def loaded(text: str) -> Config:
    return load(text, environ={})


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as found:
        loaded(text)
    return [fault.removeprefix("routing.toml: ") for fault in found.value.faults]


def test_the_defaults() -> None:
    config = loaded(_SERVER + '[tls.edge]\ncertificates = "/certs/a/"\n' + _ROUTE)
    assert tls_settings(config, 3) == TlsSettings(3, {"edge": ServerProfile((CertificateFiles("/certs/a"),))})
    assert config.server.listen[1].tls == "edge"


def test_every_key() -> None:
    config = loaded(
        _SERVER.replace("workers = 3", "tls_workers = 2")
        + """
        [tls.edge]
        certificates = ["/certs/a", { chain = "/certs/b.pem", key = "/certs/b.key" }]
        unknown_name = "first"
        min_version = "1.3"
        ciphers = "ECDHE-RSA-AES128-GCM-SHA256"
        session_tickets = false
        client_certificate = "require"
        client_ca = "/certs/ca.pem"
        client_crl = "/certs/crl.pem"
        client_names = ["spiffe://a.example/x", "*.partner.example", "10.0.0.1"]
        forward_certificate = "full"
        """
        + _ROUTE
        + 'client_names = ["spiffe://a.example/x"]\n'
    )
    profile = ServerProfile(
        (CertificateFiles("/certs/a"), CertificateFiles(chain="/certs/b.pem", key="/certs/b.key")),
        "first",
        "1.3",
        "ECDHE-RSA-AES128-GCM-SHA256",
        False,
        "require",
        "/certs/ca.pem",
        "/certs/crl.pem",
        ("spiffe://a.example/x", "*.partner.example", "10.0.0.1"),
        "full",
    )
    assert tls_settings(config, 9) == TlsSettings(2, {"edge": profile})
    assert config.routes[0].client_names == ("spiffe://a.example/x",)
    assert config.routes[0].encoded_slash == "refuse"


def test_a_profile_that_nobody_names_is_not_read() -> None:
    config = loaded(_EDGE + _ROUTE)
    assert tls_settings(config, 3) == TlsSettings()
    assert "tls.edge: no entry of server.listen names it; its files are not read" in warnings(config)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (_SERVER, 'server.listen.2.tls: there is no "edge"; write a table [tls.edge]'),
        (_SERVER + _EDGE.replace("edge", "egde"), 'server.listen.2.tls: there is no "edge"; did you mean "egde"?'),
        ('tls = "edge"', "tls: must be tables such as [tls.edge], whose name a listener's tls has"),
        ("[tls]\nedge = 1", "tls: must be tables such as [tls.edge], whose name a listener's tls has"),
        ("[tls.edge]", "tls.edge.certificates: is missing"),
        ("[tls.edge]\ncertificates = []", "tls.edge.certificates: must not be empty: no client could be answered"),
        (
            '[tls.edge]\ncertificates = ["certs/a"]',
            'tls.edge.certificates: "certs/a" must be an absolute path; write for example "/certs/certs/a"',
        ),
        ('[tls.edge]\ncertificates = [{ chain = "/a" }]', "tls.edge.certificates.key: is missing"),
        (
            _EDGE + 'client_certificate = "require"',
            "tls.edge.client_certificate: needs client_ca, with the authorities of clients' certificates",
        ),
        (
            _EDGE + 'client_ca = "/ca.pem"',
            'tls.edge.client_ca: does nothing while client_certificate is "off"; write "request" or "require"',
        ),
        (
            _EDGE + 'forward_certificate = "full"',
            'tls.edge.forward_certificate: has nothing to forward while client_certificate is "off"',
        ),
        (
            _EDGE + 'client_names = ["a.*.example"]',
            'tls.edge.client_names: "a.*.example": "*" stands for one label, the first; write for example '
            '"*.partner.example"',
        ),
        (_EDGE + 'min_version = "1.1"', 'tls.edge.min_version: must be one of "1.2", "1.3", not "1.1"'),
    ],
)
def test_faults(text: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(text + "\n" + _ROUTE)), faults(text + "\n" + _ROUTE)


def test_a_route_can_want_a_certificate_only_if_a_listener_asks_for_one() -> None:
    route = _ROUTE + 'client_names = ["a.example"]\n'
    [fault] = faults(_SERVER + _EDGE + route)
    assert fault.startswith('routes 1 "all": client_names: no listener asks for a certificate')
    loaded(_SERVER + _EDGE + 'client_certificate = "request"\nclient_ca = "/ca.pem"\n' + route)
