"""What the tests of the tls process share."""

from __future__ import annotations

from tests.tls.bios import certificates

__all__ = ["certificates"]
