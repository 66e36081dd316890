"""The state that a mover changes: objects of the C extension, or of Python where it isn't used.

``SPLICER_NATIVE=0`` in the environment switches the extension off; with ``1`` it must be there. By default it is used
if it is there: an installation without a compiler has none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from splicer.relay.choice import missing, wanted

__all__ = ["MOVER", "NATIVE", "Engine", "LegState", "PipeState", "TunnelState"]

if TYPE_CHECKING:
    from splicer.relay._mover import Engine
    from splicer.relay._mover import Leg as LegState
    from splicer.relay._mover import Pipe as PipeState
    from splicer.relay._mover import Tunnel as TunnelState

    NATIVE: bool
else:
    NATIVE = wanted(os.environ)
    if NATIVE is not False:
        try:
            from splicer.relay._mover import Engine
            from splicer.relay._mover import Leg as LegState
            from splicer.relay._mover import Pipe as PipeState
            from splicer.relay._mover import Tunnel as TunnelState
        except ImportError as error:
            if NATIVE:
                raise missing(error) from None
            NATIVE = False
        else:
            NATIVE = True
    if not NATIVE:
        from splicer.relay.plain_state import Engine, LegState, PipeState, TunnelState

MOVER = "native" if NATIVE else "python"
"""Which mover a worker has, as the log, the status and the metrics name it."""
