"""Who moves bytes: each implementation is held to the same tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from splicer.relay.mover import Mover
from splicer.relay.mover_interface import ByteMover
from splicer.relay.native import NativeMover
from splicer.relay.state import NATIVE
from splicer.relay.stock import PipeStock

MakeMover = Callable[[Any], ByteMover]
"""Makes one from the journal."""

MakeStock = Callable[..., PipeStock]
"""Makes one from a registry, and what is called when pipes have come; both may be missing."""

MOVERS: dict[str, MakeMover] = {"python": Mover, "native": NativeMover} if NATIVE else {"python": Mover}
