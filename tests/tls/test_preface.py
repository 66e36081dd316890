"""What a tls process says first on the plain end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.tls.preface import HEAD_BYTES, LONGEST, NoPrefaceError, pack, size_of, unpack
from splicer.tls_facts import ClientCertificate, TlsFacts, TlsFailure
from tests.ipc.values import values


@given(st.one_of(values(TlsFacts), values(TlsFailure)))
def test_what_is_packed_is_what_comes(value: TlsFacts | TlsFailure) -> None:
    data = pack(value)
    assert size_of(data) == len(data) - HEAD_BYTES
    assert unpack(data) == value


@given(st.binary(min_size=HEAD_BYTES, max_size=60))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(NoPrefaceError):
        unpack(data)


def test_a_cut_one_is_refused() -> None:
    data = pack(TlsFacts("TLSv1.3", "a cipher"))
    for end in range(HEAD_BYTES, len(data)):
        with pytest.raises(NoPrefaceError):
            unpack(data[:end])


def test_one_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="a preface of"):
        pack(TlsFacts("", "", peer=ClientCertificate("", pem="x" * LONGEST)))
