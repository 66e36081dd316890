"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# A shared machine pauses now and then: that says nothing about the law under test.
settings.register_profile("splicer", deadline=None)
settings.load_profile("splicer")
