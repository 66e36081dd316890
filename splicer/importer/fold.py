"""Folding: routes that differ in a pod's name alone become one with ``{pod}``."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping, Sequence

from attrs import frozen

from splicer.importer.draft import Draft, RouteDraft, free_name
from splicer.importer.ledger import Ledger
from splicer.importer.regex import literal
from splicer.importer.upstreams import new_upstream
from splicer.model import authority

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"\d+")
_CAPTURE = "pod"


@frozen
class _Foldable:
    """A route whose prefix has the first label of its upstream's host.

    Args:
        route: the route.
        label: the pod's name.
        head: the prefix before it.
        tail: the prefix after it.
        domain: the host after the label, with a dot and the port.
        rest: all that must be equal for two routes to be folded.
    """

    route: RouteDraft
    label: str
    head: str
    tail: str
    domain: str
    rest: object


def fold(draft: Draft, ledger: Ledger) -> None:
    """Fold what can be folded.

    Args:
        draft: its routes and upstreams are replaced.
        ledger: gets a notice.
    """
    groups: dict[object, list[_Foldable]] = {}
    for route in draft.routes:
        if (found := _foldable(draft, route)) is not None:
            groups.setdefault((found.head, found.tail, found.domain, found.rest), []).append(found)
    for group in groups.values():
        if len(group) > 1 and _is_free(draft, group):
            _fold(draft, ledger, group)


def _foldable(draft: Draft, route: RouteDraft) -> _Foldable | None:
    prefix, name = route.get("prefix"), route.get("upstream")
    upstream = draft.upstreams.get(name) if isinstance(name, str) else None
    if not isinstance(prefix, str) or upstream is None or route.closed:
        return None
    label, dot, domain = str(upstream.get("address")).partition(".")
    head, slash, tail = prefix.partition(f"/{label}/")
    if not (dot and slash and _LABEL.fullmatch(label)) or "." not in domain.partition(":")[0]:
        return None
    others = {path: value for path, value in upstream.values.items() if path != ("address",)}
    same = {path: value for path, value in route.values.items() if path not in (("prefix",), ("upstream",))}
    return _Foldable(route, label, f"{head}/", f"/{tail}", domain, (_plain(same), _plain(others)))


def _plain(values: Mapping[tuple[str, ...], object]) -> str:
    return repr(sorted((path, repr(value)) for path, value in values.items()))


def _is_free(draft: Draft, group: Sequence[_Foldable]) -> bool:
    """Whether no route between them takes a request that one of them would take where it stands now."""
    ours = [found.route for found in group]
    first, last = draft.routes.index(ours[0]), draft.routes.index(ours[-1])
    head = group[0].head
    for route in draft.routes[first:last]:
        if route in ours:
            continue
        literal = route.get("prefix") or route.get("path")
        if literal is None or literal.startswith(head) or head.startswith(literal):
            inside = str(literal)[len(head) :].partition("/")[0] if literal and literal.startswith(head) else None
            if inside is None or re.fullmatch(_expression([found.label for found in group]), inside):
                return False
    return True


def _fold(draft: Draft, ledger: Ledger, group: Sequence[_Foldable]) -> None:
    first = group[0]
    route, labels = first.route, [found.label for found in group]
    upstreams = [draft.upstreams[each.route.get("upstream")] for each in group]
    host, _, port = first.domain.rpartition(":")
    sources = list(dict.fromkeys(source for upstream in upstreams for source in upstream.sources[("address",)]))
    address = authority(f"{{{_CAPTURE}}}.{host}", int(port))
    wanted = {**upstreams[0].values, ("address",): address}
    made = next((each for each in draft.upstreams.values() if each.values == wanted), None)
    made = made or new_upstream(draft, _CAPTURE, address, *sources)
    for path, value in wanted.items():
        inherited = [source for upstream in upstreams for source in upstream.sources.get(path, ())]
        made.put(path, value, *made.sources.get(path, ()), *inherited)
    merged = RouteDraft(name=route.name, origin=route.origin, comments=list(route.comments))
    expression = f"^{literal(first.head)}(?<{_CAPTURE}>{_expression(labels)}){literal(first.tail)}"
    patterns = [source for found in group for source in found.route.sources[("prefix",)]]
    if route.get("strip_prefix"):
        expression += "(?<rest>.*)$"
    merged.put("regex", expression, *patterns)
    for path in route.values:
        those = [source for found in group for source in found.route.sources.get(path, ())]
        if path == ("strip_prefix",):
            merged.put("rewrite", "/{rest}", *those)
        elif path == ("upstream",):
            merged.put("upstream", made.name, *those)
        elif path != ("prefix",):
            merged.put(path, route.values[path], *those)
    merged.comments.append(f"{len(group)} routes in one: {', '.join(labels)}")
    merged.name = free_name(_name(labels, route.name), {each.name for each in draft.routes if each is not route})
    folded = {id(found.route) for found in group}
    draft.routes = [
        merged if each is route else each for each in draft.routes if each is route or id(each) not in folded
    ]
    ledger.notice(
        f"{len(group)} routes became one, {merged.name!r}, with {{{_CAPTURE}}}: it also matches pods that the list did "
        f"not name ({_expression(labels)}). --no-fold keeps them apart."
    )


def _name(labels: Sequence[str], name: str) -> str:
    words = next((name.replace(label, _CAPTURE) for label in labels if label in name), name).split("-")
    return "-".join(word for word, before in zip(words, ["", *words], strict=False) if word != before)


# Invariant: nothing matches but names of the same kind: another first segment may be another route's.
def _expression(labels: Sequence[str]) -> str:
    """The labels as an expression: ``voice-agent-[0-9]+`` if they differ in a number alone, else one of them."""
    common = os.path.commonprefix(list(labels)).rstrip("0123456789")  # noqa: RUF071 - characters are meant
    if all(_NUMBER.fullmatch(label.removeprefix(common)) for label in labels):
        return f"{literal(common)}[0-9]+"
    return "|".join(map(re.escape, labels))
