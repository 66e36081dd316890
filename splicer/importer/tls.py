"""Certificates for clients: the `[tls.NAME]` tables of a draft, and the listeners that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splicer.config.tls import read_profile
from splicer.importer.directive import Directive
from splicer.importer.draft import Draft, Named, RouteDraft
from splicer.importer.ledger import Ledger

PROFILE = "edge"
TO_HTTPS = (
    'write a route with scheme = "http", hosts and redirect = { to = "https://{host}{target}", status = 308 } above '
    "the others, when server.trusted_proxies names the load balancer that says by which scheme a client came"
)
_ROUNDS = 8  # a fault may show only when another is gone
_OF_CLIENTS = "client_"


def profile_of(draft: Draft, name: str, origin: str) -> Named:
    """A profile: the one that the draft has, or a new one.

    Args:
        draft: gets a new one.
        name: its name.
        origin: where it comes from.
    """
    return draft.tls.setdefault(name, Named(name=name, origin=origin))


def add_certificate(profile: Named, certificate: str | dict[str, str], *sources: Directive) -> None:
    """One more certificate of a profile.

    Args:
        profile: gets it.
        certificate: a folder, or a table with `chain` and `key`.
        sources: where it comes from.
    """
    found = profile.get("certificates") or []
    before = profile.sources.get(("certificates",), ())
    known = found if certificate in found else [*found, certificate]
    profile.put("certificates", known, *before, *sources)


def entry(address: str, **more: Any) -> str | dict[str, Any]:
    """An entry of `server.listen`: a table if there is more than the address."""
    told = {key: value for key, value in more.items() if value}
    return {"address": address, **told} if told else address


# Invariant: who had to show a certificate is not let in without one: a profile whose rule for clients can't be said
# closes all routes.
def settle(draft: Draft, ledger: Ledger) -> None:
    """Take out of the profiles what they may not say; a listener whose profile is gone is a plain one.

    Args:
        draft: its profiles and listeners are changed.
        ledger: gets what was taken out, as lost.
    """
    for name, profile in list(draft.tls.items()):
        for _ in range(_ROUNDS):
            read, faults = read_profile(name, profile.as_toml())
            if read is not None:
                break
            told = "; ".join(fault.text for fault in faults)
            if any(not fault.path or fault.path[0] == "certificates" for fault in faults):
                _lose(draft, ledger, name, told)
                break
            for fault in faults:
                for source in profile.drop(fault.path):
                    ledger.lost(source, f"{fault.key}: {fault.text}")
            if any(fault.path[0].startswith(_OF_CLIENTS) for fault in faults):
                _close(draft, told)


def only_by_https(draft: Draft, route: RouteDraft, other: str) -> None:
    """Have clients that come by http get a redirect, and nothing else.

    Args:
        draft: gets the routes, before all others.
        route: the redirect, for certain hosts.
        other: the name of the route for all other hosts.
    """
    rest = RouteDraft(name=other, origin=route.origin, by_scheme=True)
    rest.comments.append("for other hosts: no Host but those above may choose where a redirect leads")
    for each in (route, rest):
        each.by_scheme = True
        each.put("prefix", "/", *each.sources.get(("prefix",), ()))
        each.put("scheme", "http")
    rest.put(("respond", "status"), 404)
    draft.routes[:0] = [route, rest]


def _lose(draft: Draft, ledger: Ledger, name: str, told: str) -> None:
    profile = draft.tls.pop(name)
    why = f"{told}: clients are served in plain HTTP there; have a load balancer in front end TLS"
    for source in profile.all_sources():
        ledger.lost(source, why)
    if profile.get("client_certificate") in ("require", "request"):
        _close(draft, "clients had to show a certificate")
    for route in [each for each in draft.routes if each.by_scheme]:
        draft.routes.remove(route)
        for source in route.all_sources():
            ledger.lost(source, TO_HTTPS)
    section = draft.sections["server"]
    listen = section.get("listen")
    if listen is not None:
        plain = [each if isinstance(each, str) or each.get("tls") != name else _plain(each) for each in entries(listen)]
        section.put("listen", plain if isinstance(listen, list) else plain[0], *section.sources[("listen",)])


def entries(listen: Any) -> list[Any]:
    """The entries of a `listen`, which may be one or a list."""
    return listen if isinstance(listen, list) else [listen]


def _plain(told: Mapping[str, Any]) -> str | dict[str, Any]:
    return entry(told["address"], **{key: value for key, value in told.items() if key not in ("address", "tls")})


def _close(draft: Draft, why: str) -> None:
    for route in draft.routes:
        route.closed.append(why)
