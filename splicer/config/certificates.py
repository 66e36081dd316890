"""Where certificates are, as ``[tls.NAME]`` and an upstream's `tls` name them. No file is read here."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from splicer.config import kinds
from splicer.config.keys import key
from splicer.config.kinds import Kind, any_of
from splicer.config.reader import Reader
from splicer.config.scalars import BadValue, resolved, show, text
from splicer.tls_facts import CertificateFiles


# The processes that read files need not have the working directory of who has written the path.
def absolute(value: object) -> str:
    """A file's path."""
    path = text(value)
    if not path.startswith("/"):
        raise BadValue(f"{show(path)} must be an absolute path; write for example {show('/certs/' + path)}")
    if not path.isprintable():
        raise BadValue(f"{show(path)} is no path")
    return path.rstrip("/") or "/"


PATH = kinds.text(absolute, "absolute path", pattern="/[^\\r\\n]*")


@frozen
class CertificatePair:
    """A certificate in two files."""

    chain: str = key(PATH, "The certificate, and behind it those of its intermediate authorities, in PEM.")
    key: str = key(PATH, "Its private key, in PEM and without a passphrase.")


PAIR = Reader(CertificatePair)


def certificate(value: object) -> CertificateFiles:
    """A folder with tls.crt and tls.key, or a table with two paths."""
    value = resolved(value)
    if isinstance(value, dict):
        pair = PAIR(value)
        return CertificateFiles(chain=pair.chain, key=pair.key)
    if not isinstance(value, str):
        raise BadValue(f"must be a folder, or a table {{ chain = …, key = … }}, not {show(value)}")
    return CertificateFiles(folder=absolute(value))


def _write(files: CertificateFiles) -> str | dict[str, Any]:
    return files.folder or {"chain": files.chain, "key": files.key}


CERTIFICATE: Kind[CertificateFiles] = Kind(
    certificate, _write, any_of(PATH.schema, PAIR.schema()), "folder with `tls.crt` and `tls.key`, or a table"
)
