"""The state that a mover changes: objects of the C extension, or of Python where it isn't used.

``SPLICER_NATIVE=0`` in the environment switches the extension off; with ``1`` it must be there. By default it is used
if it is there: an installation without a compiler has none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["NATIVE", "Engine", "LegState", "PipeState", "TunnelState"]

VARIABLE = "SPLICER_NATIVE"


def _wanted() -> bool | None:
    value = os.environ.get(VARIABLE, "")
    if value not in {"", "0", "1"}:
        raise ImportError(f"{VARIABLE}={value}: must be 0 (never use the C extension) or 1 (it must be there)")
    return bool(int(value)) if value else None


if TYPE_CHECKING:
    from splicer.relay._mover import Engine
    from splicer.relay._mover import Leg as LegState
    from splicer.relay._mover import Pipe as PipeState
    from splicer.relay._mover import Tunnel as TunnelState

    NATIVE: bool
else:
    NATIVE = _wanted()
    if NATIVE is not False:
        try:
            from splicer.relay._mover import Engine
            from splicer.relay._mover import Leg as LegState
            from splicer.relay._mover import Pipe as PipeState
            from splicer.relay._mover import Tunnel as TunnelState
        except ImportError as error:
            if NATIVE:
                raise ImportError(
                    f"{VARIABLE}=1, but the C extension can't be loaded ({error}); install splicer with a C compiler, "
                    f"or unset {VARIABLE}"
                ) from None
            NATIVE = False
        else:
            NATIVE = True
    if not NATIVE:
        from splicer.relay.plain_state import Engine, LegState, PipeState, TunnelState
