"""The certificate of all peers in a run: ECDSA P-256, as most authorities issue them."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

NAME = "bench.test"
CHAIN, KEY, BOTH = "tls.crt", "tls.key", "both.pem"  # the last one has the chain and the key


def unavailable() -> str | None:
    """Why there can be none here; None if there can."""
    return None if importlib.util.find_spec("trustme") else "trustme is not installed: pip install trustme"


def write(directory: Path) -> Path:
    """Write its files into a directory, and return that.

    Args:
        directory: an empty one.
    """
    chain, key = _pems()
    for name, data in ((CHAIN, chain), (KEY, key), (BOTH, chain + key)):
        (directory / name).write_bytes(data)
    return directory


@cache
def _pems() -> tuple[bytes, bytes]:
    import trustme

    made = trustme.CA().issue_cert(NAME)
    return b"".join(blob.bytes() for blob in made.cert_chain_pems), made.private_key_pem.bytes()
