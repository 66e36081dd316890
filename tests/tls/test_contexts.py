"""Which certificate answers to which name, and what is wrong with files."""

from __future__ import annotations

import shutil
import ssl
import time
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from splicer.ipc.tls_messages import PodProfile, ServerProfile
from splicer.tls.contexts import INTERMEDIATE, PodContext, ServerContexts
from splicer.tls.files import FileFault
from tests.kit.tls import Certificates
from tests.tls.bios import Side, folder, shake_hands

_MOZILLA = {
    f"ECDHE-{key}-{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
}


def profile(*paths: Path, **more: object) -> ServerProfile:
    return ServerProfile(tuple(map(folder, paths)), **more)  # type: ignore[arg-type]


def shown(context: ssl.SSLContext | None, client: ssl.SSLContext, name: str) -> bytes | None:
    assert context is not None
    one, other = Side(client, server=False, name=name), Side(context, server=True)
    shake_hands(one, other)
    return one.tls.getpeercert(binary_form=True)


def test_names(certificates: Certificates) -> None:
    first = certificates.folder("first", "a.test", "*.wild.test", "B.test")
    second = certificates.folder("second", "b.test", "c.test")
    contexts = ServerContexts(profile(first, second))
    for name in ("a.test", "A.TEST", "x.wild.test", "a.test."):
        assert contexts.choose(name) is not None
    assert contexts.choose("b.test") is contexts.choose("a.test")  # the first that has it
    assert contexts.choose("c.test") is not contexts.choose("a.test")
    for unknown in ("wild.test", "x.y.wild.test", "d.test", "10.0.0.1", None):
        assert contexts.choose(unknown) is None
    lenient = ServerContexts(profile(first, second, unknown_name="first"))
    assert lenient.choose("d.test") is lenient.choose(None) is lenient.choose("a.test")


def test_both_kinds_of_key_share_a_context(certificates: Certificates) -> None:
    ecdsa = certificates.folder("ecdsa", "two.test", "only.test")
    rsa = certificates.folder("rsa2", "two.test", key_type=trustme.KeyType.RSA)
    contexts = ServerContexts(profile(ecdsa, rsa))
    found = {}
    for key in ("ECDSA", "RSA"):
        client = certificates.client()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(f"ECDHE-{key}-AES128-GCM-SHA256")
        found[key] = shown(contexts.choose("two.test"), client, "two.test")
    assert found["ECDSA"] != found["RSA"]
    assert contexts.choose("only.test") is not contexts.choose("two.test")
    assert [one.key for one in contexts.certificates] == ["ECDSA", "RSA"]


def test_mozillas_list_is_what_is_offered(certificates: Certificates) -> None:
    context = ServerContexts(profile(certificates.folder("edge", "a.test"))).choose("a.test")
    assert context is not None
    assert set(INTERMEDIATE.split(":")) == _MOZILLA
    assert {one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"} == _MOZILLA
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_facts(certificates: Certificates) -> None:
    path = certificates.folder("edge", "a.test", "10.0.0.1", "::1")
    [facts] = ServerContexts(profile(path)).certificates
    assert facts.names == ("a.test", "10.0.0.1", "::1")
    assert facts.not_before < time.time() < facts.not_after
    assert (facts.path, facts.key, len(facts.fingerprint)) == (str(path), "ECDSA", 64)
    uri = certificates.by_uri("workload", "spiffe://a.test/ns/x", days=-1)
    [expired] = ServerContexts(profile(uri)).certificates
    assert expired.names == ("spiffe://a.test/ns/x",)
    assert expired.not_after < time.time()


# ---- faults ----


def fault(made: ServerProfile | PodProfile) -> str:
    with pytest.raises(FileFault) as found:
        _ = ServerContexts(made) if isinstance(made, ServerProfile) else PodContext(made)
    return str(found.value)


def test_what_is_wrong_with_files(certificates: Certificates, tmp_path: Path) -> None:
    good, other = certificates.folder("edge", "a.test"), certificates.folder("other", "b.test")
    bad = tmp_path / "bad"
    assert "No such file" in fault(profile(bad))
    assert "is written {" in fault(profile(good / "tls.crt"))  # a file where a folder is due
    shutil.copytree(good, bad)
    for content, word in ((b"", "is empty"), (b"x", "no certificate"), (_garbled(good), "can't be read")):
        (bad / "tls.crt").write_bytes(content)
        assert word in fault(profile(bad))
    shutil.copy(other / "tls.crt", bad / "tls.crt")
    assert "does not belong" in fault(profile(bad))
    shutil.copy(good / "tls.crt", bad / "tls.crt")
    (bad / "tls.key").write_bytes(b"no key")
    assert "can't use" in fault(profile(bad))
    (bad / "tls.key").unlink()
    assert str(bad / "tls.key") in fault(profile(bad))
    for more in ({"client_ca": str(good / "tls.key")}, {"client_ca": str(tmp_path)}):
        assert next(iter(more.values())) in fault(profile(good, client_certificate="require", **more))
    assert "none of" in fault(profile(good, ciphers="NONSENSE"))
    assert "No such file" in fault(PodProfile(str(tmp_path / "ca.pem")))


def _garbled(folder_: Path) -> bytes:
    lines = (folder_ / "tls.crt").read_bytes().split(b"\n")
    return b"\n".join([lines[0], lines[1][::-1], *lines[2:]])


def test_an_encrypted_key_is_a_fault_and_no_question(certificates: Certificates, tmp_path: Path) -> None:
    good = certificates.folder("edge", "a.test")
    key = serialization.load_pem_private_key((good / "tls.key").read_bytes(), None)
    shutil.copytree(good, tmp_path / "locked")
    (tmp_path / "locked/tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert "encrypted" in fault(profile(tmp_path / "locked"))
