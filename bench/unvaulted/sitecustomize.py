"""On an edge's PYTHONPATH, this makes its workers keep their tunnels to themselves: the vault hears of none."""

import sys
from typing import Any

if "splicer.worker" in sys.orig_argv:
    from splicer import worker
    from splicer.relay.hub import Hub
    from splicer.session.context import SessionContext

    def _hub(**_: Any) -> Hub:
        return Hub()

    def _context(**rooms: Any) -> SessionContext:
        return SessionContext(**{**rooms, "vault": None})

    vars(worker).update(Hub=_hub, SessionContext=_context)  # the worker builds its rooms by these names
