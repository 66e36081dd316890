"""How a client's connection came, if another party stands between the client and this edge and has said so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """The facts of a connection that are not the client's own. Workers pass it on, so a new field needs a default.

    Args:
        via: the numeric address of who connected.
        port: the client's TCP port; 0: unknown.
        secure: whether the client spoke TLS, to whoever ended it.
        facts: fields for the log, with their values.
        local: the address and port where it was accepted, if its socket can't tell.
    """

    via: str
    port: int = 0
    secure: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    local: tuple[str, int] | None = None

    def fact(self, field: str) -> str | None:
        """The value of a field for the log, or None."""
        return next((value for name, value in self.facts if name == field), None)
