"""Failures of requests to the admin address, as clear lines for an operator."""

from __future__ import annotations

from splicer.errors import SplicerError


class AdminFailed(SplicerError):
    """A request to the admin address failed.

    Args:
        faults: why, one clear line each.
    """

    reason = "admin"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Refused(AdminFailed):
    """The admin address answered with an error."""
