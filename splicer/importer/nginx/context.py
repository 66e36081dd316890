"""What all parts of a translation share."""

from __future__ import annotations

from attrs import Factory, define

from splicer.importer.draft import Draft
from splicer.importer.ledger import Ledger
from splicer.importer.nginx.source import Statement


@define(eq=False)
class Context:
    """A translation under way.

    Args:
        draft: the routing.toml.
        ledger: the verdicts.
        domain: what is added to names without a dot; "": they are kept.
        groups: the `upstream` blocks, by name.
        connection_maps: variables that a `map` makes of ``$http_upgrade``, as for a Connection field.
        maps: all other variables of a `map`.
        zones: the `limit_req_zone` and `limit_conn_zone` of each zone.
        names: the route names that are taken.
        verifies: whether clients' certificates are verified by a profile.
        unsafe: why a location may not be served, by the id of its statement: something in it could not be carried.
    """

    draft: Draft
    ledger: Ledger
    domain: str = ""
    groups: dict[str, Statement] = Factory(dict)
    connection_maps: set[str] = Factory(set)
    maps: set[str] = Factory(set)
    zones: dict[str, Statement] = Factory(dict)
    names: set[str] = Factory(set)
    unsafe: dict[int, str] = Factory(dict)
    verifies: bool = False
