"""Text in a regular expression."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")


def literal(text: str) -> str:
    """An expression for this text alone, with no more backslashes than it needs."""
    return _SPECIAL.sub(r"\\\g<0>", text)
