"""An upstream's `tls`."""

from __future__ import annotations

import pytest

from splicer.config.dump import as_tables
from splicer.config.load import load
from splicer.configfile.tls_settings import tls_settings
from splicer.errors import ConfigError
from splicer.ipc.tls_messages import PodProfile, TlsSettings
from splicer.pod_tls import PodTls
from splicer.routing.template import parse_template
from splicer.tls_facts import CertificateFiles

_TEXT = """
[upstreams.pod]
address = "{{pod}}.pods.test:8443"
{}
[[routes]]
name = "all"
regex = '^/(?<pod>[^/]+)'
upstream = "pod"
"""


def text(tls: str) -> str:
    return _TEXT.format(tls)


def test_the_defaults() -> None:
    config = load(text('tls = { ca = "/ca.pem" }'), environ={})
    assert config.upstreams["pod"].tls == PodTls("/ca.pem", None, ("{host}",), "{host}")
    assert tls_settings(config, 2) == TlsSettings(2, pods={"pod": PodProfile("/ca.pem")})
    assert as_tables(config)["upstreams"]["pod"]["tls"] == {
        "ca": "/ca.pem",
        "names": ["{host}"],
        "sni": "{host}",
        "min_version": "1.2",
        "ciphers": "intermediate",
    }


def test_every_key() -> None:
    tls = (
        'tls = { ca = "/ca.pem", certificate = "/certs/edge", names = ["spiffe://a/b", "*.{host}"], sni = "", '
        'min_version = "1.3", ciphers = "AES128-SHA", crl = "/crl.pem" }'
    )
    config = load(text(tls), environ={})
    files = CertificateFiles("/certs/edge")
    found = config.upstreams["pod"].tls
    assert found == PodTls("/ca.pem", files, ("spiffe://a/b", "*.{host}"), "", "1.3", "AES128-SHA", "/crl.pem")
    proof = found.proof("pod", parse_template("a.test."), "a.test.")
    assert (proof.sni, proof.names) == (None, ("spiffe://a/b", "*.a.test"))
    assert tls_settings(config, 1).pods == {"pod": PodProfile("/ca.pem", files, "1.3", "AES128-SHA", "/crl.pem")}
    assert load(text('tls = { ca = "system" }'), environ={}).upstreams["pod"].tls == PodTls("system")


@pytest.mark.parametrize(
    ("tls", "fault"),
    [
        ("tls = {}", "upstreams.pod.tls.ca: is missing"),
        ("tls = true", "upstreams.pod.tls: must be a table, not true"),
        ('tls = { ca = "ca.pem" }', 'upstreams.pod.tls.ca: "ca.pem" must be an absolute path'),
        ('tls = { ca = "/a", names = [] }', "upstreams.pod.tls.names: must not be empty: there is no unverified TLS"),
        (
            'tls = { ca = "/a", names = ["spiffe://a/{pdo}"] }',
            "upstreams.pod.tls.names: {pdo} is nothing that `address` has; it may have {host}, {pod}",
        ),
        ('tls = { ca = "/a", sni = "{ns}.x.test" }', "upstreams.pod.tls.sni: {ns} is nothing that `address` has"),
        ('tls = { ca = "/a", names = ["{pod"] }', 'upstreams.pod.tls.names: "{pod": a brace begins or ends'),
        ('tls = { ca = "/a", names = ["{}"] }', 'upstreams.pod.tls.names: "{}": a brace begins or ends'),
        ('tls = { ca = "/a", sni = "{{pod}}" }', 'upstreams.pod.tls.sni: "{{pod}}": a brace begins or ends'),
        ('tls = { ca = "/a", verify = false }', "upstreams.pod.tls.verify: unknown key"),
        ('tls = { ca = "system", crl = "/a" }', "upstreams.pod.tls: crl: needs the authorities in a file"),
    ],
)
def test_faults(tls: str, fault: str) -> None:
    with pytest.raises(ConfigError) as found:
        load(text(tls), environ={})
    assert any(one.startswith(f"routing.toml: {fault}") for one in found.value.faults), found.value.faults


def test_a_capture_that_can_not_be_told_from_another() -> None:
    two = text('tls = { ca = "/a", names = ["spiffe://a/{pod}"] }').replace("{pod}.pods", "{pod}-{ns}.pods")
    with pytest.raises(ConfigError, match=r"tls: \{pod\} can't be told from another capture in the same label"):
        load(two.replace("(?<pod>[^/]+)", "(?<ns>[^/]+)/(?<pod>[^/]+)"), environ={})


def test_what_passes_through_is_tls_already() -> None:
    passthrough = '[[passthrough]]\nnames = ["a.test"]\nupstream = "pod"\n'
    plain = text('tls = { ca = "/a" }').replace("{pod}.pods", "one.pods")
    with pytest.raises(ConfigError, match="has tls, and what passes through is TLS already"):
        load(passthrough + plain, environ={})
