from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from splicer.discovery.failures import ApiFailure, NotInCluster
from splicer.discovery.place import CA_FILE, TOKEN_FILE, Place


def test_the_place_that_a_pod_finds_in_itself() -> None:
    found = Place.in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"})
    assert found == Place("10.96.0.1", 443, token_file=TOKEN_FILE, ca_file=CA_FILE)
    assert found.authority == "10.96.0.1:443"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
        {"KUBERNETES_SERVICE_PORT": "443"},
        {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "tcp://10.96.0.1:443"},
    ],
)
def test_no_pod(environ: dict[str, str]) -> None:
    with pytest.raises(NotInCluster):
        Place.in_cluster(environ)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://10.0.0.1", "10.0.0.1", 443, "", "10.0.0.1:443"),
        ("https://api.example:6443/", "api.example", 6443, "", "api.example:6443"),
        ("https://[fd00::1]:6443/k8s/clusters/c-1/", "fd00::1", 6443, "/k8s/clusters/c-1", "[fd00::1]:6443"),
        ("http://127.0.0.1:8001", "127.0.0.1", 8001, "", "127.0.0.1:8001"),
    ],
)
def test_a_url(url: str, host: str, port: int, path: str, authority: str) -> None:
    found = Place.at(url)
    assert (found.host, found.port, found.path, found.authority) == (host, port, path, authority)
    assert found.tls is url.startswith("https")
    assert (found.token_file is not None) is found.tls


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "No such file"),
        (b"", "no token"),
        (b"a b", "no token"),
        (b"a\r\nb", "no token"),
        (b"\xff", "not ASCII"),
        (b"x" * 70_000, "no token"),
    ],
)
def test_a_file_without_a_token(data: bytes | None, problem: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "token").write_bytes(data)
    with pytest.raises(ApiFailure, match=problem) as failure:
        Place("h", 1, token_file=str(tmp_path / "token")).token()
    assert failure.value.reason == "token"
    assert str(tmp_path / "token") in str(failure.value)


def test_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"abc.def\n")
    assert Place("h", 1, token_file=str(tmp_path / "token")).token() == "abc.def"
    assert Place("h", 1, token_file=None).token() is None


@pytest.mark.parametrize(
    ("data", "problem"), [(None, "No such file"), (b"", "no certificate"), (b"x", "no certificate")]
)
def test_a_file_without_a_ca(data: bytes | None, problem: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "ca.crt").write_bytes(data)
    with pytest.raises(ApiFailure, match=problem) as failure:
        Place("h", 1, ca_file=str(tmp_path / "ca.crt")).context()
    assert failure.value.reason == "ca"


def test_without_a_ca_those_of_the_system_count() -> None:
    context = Place("h", 1, ca_file=None).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
