"""What is wrong with a query, judged by the families that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import promql_parser as promql

from tests.deploy.families import FAMILIES, Family

_TARGET = frozenset({"job", "instance"})  # what Prometheus adds to every series
_FOREIGN = {"up": Family("gauge", {})}  # Prometheus's own
_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
_OF_COUNTERS = frozenset({"rate", "increase"})


class _Use(NamedTuple):
    """A selector, and the function that takes it."""

    selector: promql.VectorSelector
    function: str | None


def labels_of(query: str) -> frozenset[str]:
    """The labels that the result may have: what a legend or an annotation can speak of."""
    return _result(_parse(query))


def faults(query: str) -> list[str]:
    """One line for each fault of a query, as it stands in a dashboard or a rule."""
    try:
        expr = _parse(query)
    except ValueError as error:
        return [str(error)]
    found = [fault for use in _uses(expr) for fault in _judge(use)]
    for node in _nodes(expr):
        for label in _named(node):
            found += [
                f"{use.selector.name} has no label {label}" for use in _uses(node) if label not in _labels(use.selector)
            ]
    return found


def _parse(query: str) -> promql.Expr:
    expr: promql.Expr = promql.parse(query.replace("$__rate_interval", "5m"))
    return expr


def _judge(use: _Use) -> Iterator[str]:
    selector, function = use
    name = selector.name or ""
    family = _family(name)
    if family is None:
        yield f"{name or selector} is no family"
        return
    if (family.kind == "counter" or name.endswith(_OF_HISTOGRAMS)) and function not in _OF_COUNTERS:
        yield f"{name} is a counter, and stands outside rate() and increase()"
    if family.kind == "gauge" and function in _OF_COUNTERS:
        yield f"{name} is a gauge, and stands in {function}()"
    for matcher in selector.matchers.matchers:
        if matcher.name not in _labels(selector):
            yield f"{name} has no label {matcher.name}"
        known = family.labels.get(matcher.name)
        for value in matcher.value.split("|"):
            if known and not value.startswith("$") and value not in known:
                yield f"{name} has no {matcher.name} {value}"


# A histogram's own name has no samples, and neither has a counter's with a histogram's ending.
def _family(name: str) -> Family | None:
    if name.endswith(_OF_HISTOGRAMS):
        family = FAMILIES.get(name.rpartition("_")[0])
        return family if family is not None and family.kind == "histogram" else None
    family = FAMILIES.get(name) or _FOREIGN.get(name)
    return family if family is not None and family.kind != "histogram" else None


def _labels(selector: promql.VectorSelector) -> frozenset[str]:
    name = selector.name or ""
    family = _family(name)
    own = frozenset(family.labels) if family is not None else frozenset()
    return own | _TARGET | ({"le"} if name.endswith("_bucket") else frozenset())


def _children(expr: promql.Expr) -> tuple[promql.Expr, ...]:
    match expr:
        case promql.BinaryExpr():
            return expr.lhs, expr.rhs
        case promql.Call():
            return tuple(expr.args)
        case promql.MatrixSelector():
            return (expr.vector_selector,)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return (expr.expr,)
        case _:
            return ()


def _nodes(expr: promql.Expr) -> Iterator[promql.Expr]:
    yield expr
    for child in _children(expr):
        yield from _nodes(child)


def _uses(expr: promql.Expr, function: str | None = None) -> Iterator[_Use]:
    if isinstance(expr, promql.VectorSelector):
        yield _Use(expr, function)
    inner = expr.func.name if isinstance(expr, promql.Call) else function
    for child in _children(expr):
        yield from _uses(child, inner)


def _named(expr: promql.Expr) -> list[str]:
    """The labels of a by(), without(), on(), ignoring() or group_*()."""
    if isinstance(expr, promql.AggregateExpr):
        return expr.modifier.labels if expr.modifier is not None else []
    if isinstance(expr, promql.BinaryExpr) and expr.modifier is not None:
        matching = expr.modifier.matching
        return [*(matching.labels if matching is not None else []), *(expr.modifier.group_labels or [])]
    return []


def _result(expr: promql.Expr) -> frozenset[str]:
    match expr:
        case promql.VectorSelector():
            return _labels(expr)
        case promql.AggregateExpr():
            inner = _result(expr.expr)
            if str(expr.op) in ("topk", "bottomk"):
                return inner
            if expr.modifier is None:
                return frozenset()
            named = frozenset(expr.modifier.labels)
            return named & inner if expr.modifier.type == promql.AggModifierType.By else inner - named
        case promql.Call(func=function) if function.name == "absent":
            return frozenset()
        case promql.Call(func=function) if function.name == "histogram_quantile":
            return _result(expr.args[1]) - {"le"}
        case promql.BinaryExpr():
            return _result(expr.lhs) or _result(expr.rhs)
        case _:
            return frozenset().union(*(_result(child) for child in _children(expr)))


def labels_in(text: str) -> frozenset[str]:
    """The labels that a legend (`{{pod}}`) or an annotation (`{{ $labels.pod }}`) speaks of."""
    return frozenset(re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", text))
