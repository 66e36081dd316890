"""attrs classes of which each call has objects: only the type checker keeps these frozen.

attrs sets each field of a frozen object through `object.__setattr__`, which takes four times as long as setting it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as quick_frozen
else:
    quick_frozen = partial(attrs.define, unsafe_hash=True)

__all__ = ["quick_frozen"]
