"""The last steps of an import: what routing.toml can't say is taken out of the draft, and what is left is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType

from splicer.config.deadlines import DEADLINES
from splicer.config.load import load
from splicer.config.reader import Fault, toml_key
from splicer.config.route_checks import ANSWERS, PATTERNS
from splicer.config.routes import read_route
from splicer.config.scalars import show
from splicer.config.upstreams import read_upstream
from splicer.errors import ConfigError
from splicer.importer import tls
from splicer.importer.directive import Directive, ImportFault
from splicer.importer.draft import Draft, Path, RouteDraft, Table, upstreams_of
from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.passing import settle_passthrough
from splicer.importer.sound import settle_sections
from splicer.importer.toml import value_text, written
from splicer.model import Upstream

_KEPT_WHEN_CLOSED = frozenset({*PATTERNS, "hosts", "scheme", "headers", "query", "clients", "clients_deny", "log"})
_CLOSED = MappingProxyType({"status": 503, "body": "this route was not imported whole\n"})
_ESSENTIAL = ("address", "tls")  # of an upstream: no request goes to a pod without what proves that it is the right one
_ROUNDS = 8  # a fault may show only when another is gone


def finish(draft: Draft, ledger: Ledger) -> str:
    """The text of a routing.toml that `splicer check` accepts; every directive that it has is marked as carried.

    Args:
        draft: what the source says; faults are taken out of it.
        ledger: gets what was taken out, as lost.

    Raises:
        ImportFault: there is nothing that could be a routing.toml.
    """
    settle_sections(draft, ledger)
    tls.settle(draft, ledger)
    upstreams = _sound_upstreams(draft, ledger)
    settle_passthrough(draft, ledger, upstreams)
    for route in draft.routes:
        _close_without_upstream(route, upstreams, ledger)
    draft.routes = [route for route in draft.routes if _settle(route, draft, upstreams, ledger)]
    for upstream in list(draft.unused_upstreams()):
        del draft.upstreams[upstream.name]
        for source in upstream.all_sources():
            ledger.mark(source, Verdict.NO_NEED, "no imported route leads there")
    _carried(draft, ledger)
    text = written(draft)
    try:
        load(text, name="the routing.toml that was made", environ={})
    except ConfigError as error:
        why = "; ".join(error.faults)
        raise ImportFault(draft.title, None, f"nothing is written: {why}") from None
    return text


def _sound_upstreams(draft: Draft, ledger: Ledger) -> dict[str, Upstream | None]:
    hosts = draft.sections["resolver"].get("hosts") or {}
    sound: dict[str, Upstream | None] = {}
    for name, table in list(draft.upstreams.items()):
        for _ in range(_ROUNDS):
            upstream, faults = read_upstream(name, table.as_toml(), {key: tuple(ips) for key, ips in hosts.items()})
            fatal = [fault for fault in faults if not fault.path or fault.path[0] in _ESSENTIAL]
            if upstream is not None or fatal:
                break
            _drop(table, faults, ledger)
        if upstream is None:
            _lose(table.all_sources(), "; ".join(fault.text for fault in faults), ledger)
            del draft.upstreams[name]
        else:
            sound[name] = upstream
    return sound


def _close_without_upstream(route: RouteDraft, upstreams: dict[str, Upstream | None], ledger: Ledger) -> None:
    if gone := [name for name in upstreams_of(route) if name not in upstreams]:
        why = f"the address of {', '.join(map(show, gone))} could not be imported"
        route.closed.append(why)
        for path in [path for path in route.values if path[0] in ("upstream", "fallback", "authorize")]:
            _lose(route.drop(path), f"its route answers 503: {why}", ledger)


def _settle(route: RouteDraft, draft: Draft, upstreams: dict[str, Upstream | None], ledger: Ledger) -> bool:
    """Take out a route's faults; whether the route remains."""
    _one_upstream(route)
    for _ in range(_ROUNDS):
        if route.closed:
            _close(route, ledger)
        table = {"name": route.name, **route.as_toml()}
        read, faults = read_route(draft.routes.index(route) + 1, table, upstreams, DEADLINES({}))
        if read is not None:
            return True
        fatal = [fault for fault in faults if not fault.path or fault.path[0] in (*PATTERNS, *ANSWERS)]
        if any(fault.path and fault.path[0] in PATTERNS for fault in fatal) or not set(route.as_toml()) & set(PATTERNS):
            why = "; ".join(fault.text for fault in fatal)
            _lose(route.all_sources(), f"{why}; its requests go to later routes: write one for them", ledger)
            return False
        if fatal:
            route.closed.append("; ".join(fault.text for fault in fatal))
        else:
            _drop(route, faults, ledger)
    raise ImportFault(draft.title, None, f"nothing is written: the route {show(route.name)} can't be made valid")


def _one_upstream(route: RouteDraft) -> None:
    """A choice among one is none."""
    shares = [path for path in route.values if path[0] == "upstream" and len(path) > 1]
    if len(shares) == 1 and route.values[shares[0]]:
        route.put("upstream", shares[0][1], *route.drop(shares[0]))


# Invariant: what the source refuses is refused: a route without what protected it, or without its pod, answers 503, so
# that its requests reach no later route.
def _close(route: RouteDraft, ledger: Ledger) -> None:
    why = "; ".join(dict.fromkeys(route.closed))
    route.closed.clear()
    kept, rest = Table(), Table()
    for path, value in route.values.items():
        (kept if path[0] in _KEPT_WHEN_CLOSED else rest).put(path, value, *route.sources.get(path, ()))
    route.values, route.sources = kept.values, kept.sources
    _lose(rest.all_sources(), f"its route answers 503: {why}", ledger)
    route.comments += [f"closed, because {why}", "What it would have had:"]
    route.comments += [f"{toml_key(key)} = {value_text(value)}" for key, value in rest.as_toml().items()]
    route.put("respond", dict(_CLOSED))


def _drop(table: Table, faults: Iterable[Fault], ledger: Ledger) -> None:
    for fault in faults:
        _lose(table.drop(fault.path), f"{fault.key}: {fault.text}", ledger)


def _lose(sources: Iterable[Directive], note: str, ledger: Ledger) -> None:
    for source in sources:
        ledger.lost(source, note)


def _carried(draft: Draft, ledger: Ledger) -> None:
    for place, table in _tables(draft):
        for path, sources in table.sources.items():
            for source in sources:
                ledger.carried(source, f"{place}{_dotted(path)}")


def _tables(draft: Draft) -> Iterator[tuple[str, Table]]:
    yield from ((f"{name}.", table) for name, table in draft.sections.items())
    yield from ((f"tls.{toml_key(name)}.", table) for name, table in draft.tls.items())
    yield from ((f"upstreams.{toml_key(name)}.", table) for name, table in draft.upstreams.items())
    yield from ((f"routes {show(route.name)}.", route) for route in draft.routes)
    yield from ((f"errors {number}.", page) for number, page in enumerate(draft.errors, 1))
    yield from ((f"passthrough {number}.", table) for number, table in enumerate(draft.passthrough, 1))


def _dotted(path: Path) -> str:
    return ".".join(map(toml_key, path))
