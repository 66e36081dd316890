"""On an edge's PYTHONPATH, this makes its workers keep their tunnels to themselves: the vault hears of none."""

import sys
from typing import Any

if "splicer.run" in sys.orig_argv:
    from splicer import worker
    from splicer.relay.hub import Hub
    from splicer.session.house import House

    def _hub(**_: Any) -> Hub:
        return Hub()

    def _house(**rooms: Any) -> House:
        return House(**{**rooms, "vault": None})

    vars(worker).update(Hub=_hub, House=_house)  # the worker builds its rooms by these names
