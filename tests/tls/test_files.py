"""Reading certificates and keys from files that may be anything, and may change at any time."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splicer.tls import files
from splicer.tls.der import first_certificate
from splicer.tls.files import FileFault, is_sub_path, opened, signature, text_of
from splicer.tls_facts import CertificateFiles
from tests.kit.tls import Certificates
from tests.tls.bios import folder


def test_both_files_are_of_one_generation(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubelet renames `..data` between the two opens."""
    path, read = certificates.secret("mounted", "before.test"), files._open

    def open_and_renew(*arguments: Any) -> int:
        fd = read(*arguments)
        certificates.renew(path, "after.test")
        return fd

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(files, "_open", open_and_renew)
        with opened(folder(path)) as pair:
            assert first_certificate(pair.pem).names == (("DNS", "before.test"),)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair.paths)  # it refuses another one's key
    with opened(folder(path)) as pair:
        assert first_certificate(pair.pem).names == (("DNS", "after.test"),)


def test_a_signature_changes_with_each_file(certificates: Certificates) -> None:
    path, other = certificates.secret("signed", "a.test"), str(certificates.ca)
    pairs = (folder(path), CertificateFiles(chain=other, key="/nowhere"))
    seen = {signature(pairs, (other,))}
    certificates.renew(path, "a.test")
    seen.add(signature(pairs, (other,)))
    assert signature(pairs, (other,)) in seen
    shutil.rmtree(path)
    seen.add(signature(pairs, (other,)))
    assert len(seen) == 3


def test_the_paths_of_an_open_pair_are_read_by_openssl_whatever_happens_to_the_files(
    certificates: Certificates,
) -> None:
    path = certificates.folder("edge", "a.test")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names
    with opened(folder(path)) as pair:
        shutil.rmtree(path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair.paths)
        assert pair.name == str(path)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def _empty(path: Path) -> None:
    path.write_text(" \n")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file or directory"),
        (_empty, "is empty"),
        (os.mkfifo, "not a regular file"),  # which must not be waited for
        (Path.mkdir, "not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_to_read(make: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    path = tmp_path / "tls.key"
    make(path)
    (tmp_path / "tls.crt").write_text("a chain")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(FileFault) as fault:
        text_of(str(path))
    assert str(fault.value) == f"{path}: {why}"
    for pair in (folder(tmp_path), CertificateFiles(chain=str(tmp_path / "tls.crt"), key=str(path))):
        with pytest.raises(FileFault, match=why), opened(pair):
            raise AssertionError
    assert os.listdir("/proc/self/fd") == before, "nothing stays open"  # noqa: PTH208


def test_a_folder_that_is_a_file_is_told_how_to_write_it(tmp_path: Path) -> None:
    file = tmp_path / "edge.pem"
    file.write_text("x")
    with pytest.raises(FileFault, match="a certificate that is no folder is written"), opened(folder(file)):
        raise AssertionError


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.write(b"x")
        file.truncate(1 << 30)
    assert len(text_of(str(tmp_path / "huge"))) == 4 << 20


def test_a_mount_of_its_own_is_seen(tmp_path: Path) -> None:
    assert is_sub_path("/proc")
    assert not is_sub_path("/proc/self")
    assert not is_sub_path(str(tmp_path))
