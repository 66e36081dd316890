"""TLS that goes to a pod as it is: `[[passthrough]]` of a draft, and the listeners that take it."""

from __future__ import annotations

from collections.abc import Mapping

from splicer.config.deadlines import DEADLINES
from splicer.config.passthrough import read_passthrough
from splicer.importer.directive import Directive
from splicer.importer.draft import Draft, Named, RouteDraft
from splicer.importer.ledger import Ledger
from splicer.importer.tls import entries, entry
from splicer.model import Upstream


def pass_through(draft: Draft, names: list[str], lead: RouteDraft, origin: str, *sources: Directive) -> None:
    """One more table.

    Args:
        draft: gets it.
        names: those that clients ask for.
        lead: a route that leads where their connections go.
        origin: where it comes from.
        sources: the directives with the names.
    """
    table = Named(name=lead.get("upstream"), origin=origin)
    table.put("names", names, *sources)
    for path, value in lead.values.items():
        if path in (("upstream",), ("deadlines", "connect")):
            table.put(path, value, *lead.sources[path])
    draft.passthrough.append(table)


def settle_passthrough(draft: Draft, ledger: Ledger, upstreams: Mapping[str, Upstream | None]) -> None:
    """Take out the tables that `splicer check` would refuse, and listeners that would have none.

    Args:
        draft: is changed.
        ledger: gets what was taken out, as lost.
        upstreams: those that the file has.
    """
    for table in list(draft.passthrough):
        kept = [each.as_toml() for each in draft.passthrough[: draft.passthrough.index(table)]]
        _, faults = read_passthrough([*kept, table.as_toml()], upstreams, DEADLINES({}))
        if faults:
            draft.passthrough.remove(table)
            for source in table.all_sources():
                ledger.lost(source, "; ".join(fault.text for _, fault in faults))
    section = draft.sections["server"]
    listen = section.get("listen")
    if listen is None or draft.passthrough:
        return
    told = []
    for each in entries(listen):
        others = {key: value for key, value in each.items() if key != "passthrough"} if isinstance(each, dict) else each
        if others is each or len(others) > 1:
            told.append(others if others is each else entry(others.pop("address"), **others))
        elif "passthrough" not in each:
            told.append(each)
    if told:
        section.put("listen", told[0] if len(told) == 1 else told, *section.sources[("listen",)])
    else:
        section.drop(("listen",))
