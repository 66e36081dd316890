"""Names of requests are what the log and the vault know them by."""

from __future__ import annotations

import re
from itertools import islice

from splicer.session.identity import identities


def test_each_is_sixteen_hexadecimal_digits_and_none_comes_twice() -> None:
    names = list(islice(identities(), 2000))
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)
    assert len(set(names)) == len(names)


def test_two_series_have_nothing_in_common() -> None:
    assert not set(islice(identities(), 1000)) & set(islice(identities(), 1000))
