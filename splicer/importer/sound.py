"""The sections of a draft: what they may not say is taken out of them."""

from __future__ import annotations

from splicer.config.sections import SECTIONS, clashes
from splicer.importer.draft import Draft
from splicer.importer.ledger import Ledger

_ROUNDS = 8  # a fault may show only when another is gone
_ADMIN_OFF = (
    "A client's address is that of splicer's own admin address, 127.0.0.1:9901, so that is off; give it another one: "
    "server.admin."
)


def settle_sections(draft: Draft, ledger: Ledger) -> None:
    """Take out of the sections what `splicer check` would refuse.

    Args:
        draft: its sections are changed.
        ledger: gets what was taken out, as lost.
    """
    for name, table in draft.sections.items():
        for _ in range(_ROUNDS):
            reading = SECTIONS[name].read(table.as_toml())
            if not reading.faults:
                break
            for fault in reading.faults:
                for source in table.drop(fault.path):
                    ledger.lost(source, f"{name}.{fault.key}: {fault.text}")
    server = SECTIONS["server"](draft.sections["server"].as_toml())
    if any(clashes(server, frozenset())):
        for source in draft.sections["server"].drop(("admin",)):
            ledger.lost(source, "another listener has its address")
        draft.sections["server"].put("admin", "off")
        ledger.notice(_ADMIN_OFF)
