"""`allow` and `deny` as `clients` and `clients_deny`."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.source import Statement
from splicer.model import Network


def access(ledger: Ledger, place: Place) -> None:
    """Set a route's `clients` and `clients_deny`; a route whose rules can't be said is closed."""
    rules = place.scope.all("allow", "deny")
    if not rules:
        return
    end = next((index for index, rule in enumerate(rules) if rule.first == "all"), len(rules))
    for rule in rules[end + 1 :]:
        ledger.mark(rule, Verdict.NO_NEED, f"{rules[end].text} stands before it")
    last = rules[end] if end < len(rules) else None
    rules = [rule for rule in rules[:end] if rule.first != "unix:"]
    try:
        allowed, denied = _networks(rules, "allow"), _networks(rules, "deny")
    except ValueError as error:
        _refuse(ledger, place, [*rules, *([last] if last else [])], f"{error}")
        return
    if _is_mixed(rules):
        _refuse(ledger, place, rules, "a deny inside of what was allowed before: write the networks without overlaps")
        return
    closing = last is not None and last.name == "deny"
    route, ends = place.route, [last] if last is not None else []
    if closing and not allowed:
        route.put(("respond", "status"), 403, *rules, *ends)
        return
    if closing:
        route.put("clients", allowed, *[rule for rule in rules if rule.name == "allow"], *ends)
    else:
        for rule in [*[rule for rule in rules if rule.name == "allow"], *ends]:
            ledger.mark(rule, Verdict.DEFAULT, "who is not denied is allowed")
    if denied:
        route.put("clients_deny", denied, *[rule for rule in rules if rule.name == "deny"])


def _networks(rules: Sequence[Statement], name: str) -> list[str]:
    return [str(_network(rule)) for rule in rules if rule.name == name]


def _network(rule: Statement) -> Network:
    return ip_network(rule.first, strict=False)


def _is_mixed(rules: Sequence[Statement]) -> bool:
    """Whether the order counts for an address that is both allowed and denied, and an `allow` comes first."""
    allowed: list[Network] = []
    for rule in rules:
        network = _network(rule)
        if rule.name == "allow":
            allowed.append(network)
        elif any(network.version == other.version and network.overlaps(other) for other in allowed):
            return True
    return False


def _refuse(ledger: Ledger, place: Place, rules: Sequence[Statement], why: str) -> None:
    for rule in rules:
        ledger.lost(rule, why)
    place.route.closed.append("its allow and deny could not be imported")
