from __future__ import annotations

import pytest

from splicer.proxyproto.crc32c import crc32c


# RFC 3720, appendix B.4.
@pytest.mark.parametrize(
    ("data", "value"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_values_of_the_rfc(data: bytes, value: int) -> None:
    assert crc32c(data) == value
