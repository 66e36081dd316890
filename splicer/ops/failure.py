"""What goes wrong between an operator and the admin address, told in clear lines."""

from __future__ import annotations

from splicer.errors import SplicerError


class AdminFailed(SplicerError):
    """It can't be done.

    Args:
        faults: why, one clear line each.
    """

    reason = "admin"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Refused(AdminFailed):
    """The admin address said no, and why."""
