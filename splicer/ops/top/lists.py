"""The rows of each view: which, in which order, and by which key one is told from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from splicer.ops.answer import JsonObject
from splicer.ops.cells import number

View = Literal["calls", "pods", "workers"]

_SEARCHED: Final = {
    "calls": ("id", "pod", "route", "client", "path", "upstream", "endpoint"),
    "pods": ("name", "upstream", "endpoint", "state"),
    "workers": ("slot", "pid"),
}


def _measure(row: JsonObject, *keys: str) -> float:
    return max(number(row.get(key)) or 0.0 for key in keys)


# As /events orders them, whose first ones they are.
_ORDERS: Final[dict[str, Callable[[JsonObject], float]]] = {
    "age": lambda row: -_measure(row, "age_s"),
    "idle": lambda row: -_measure(row, "idle_s"),
    "rate": lambda row: -_measure(row, "rate"),
    "rtt": lambda row: -_measure(row, "client_rtt_ms", "pod_rtt_ms"),
    "retransmits": lambda row: -_measure(row, "client_retransmits", "pod_retransmits"),
}
SORTS: Final = tuple(_ORDERS)


def objects(answer: JsonObject, key: str) -> list[JsonObject]:
    """The objects of a list in an answer; another version may have none."""
    found = answer.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def listed(view: View, state: JsonObject, calls: JsonObject, sort: str, wanted: str) -> list[JsonObject]:
    """The rows of a view.

    Args:
        view: which.
        state: the last state of the edge.
        calls: the last calls.
        sort: the order of calls, one of `SORTS`.
        wanted: words that must all be in a row, in any of its names; upper and lower case are the same.
    """
    rows = {"calls": _calls, "pods": _pods, "workers": _workers}[view](state, calls)
    words = wanted.lower().split()
    found = [row for row in rows if all(word in _text(view, row) for word in words)]
    return sorted(found, key=_ORDERS[sort]) if view == "calls" else found


def key_of(view: View, row: JsonObject) -> str:
    """What tells a row from the others of its view, from one moment to the next."""
    if view == "calls":
        return str(row.get("id"))
    return " ".join(str(row.get(name)) for name in _SEARCHED[view][:3])


def pod_of(view: View, row: JsonObject) -> str:
    """The name of a row's pod; "" if it has none, or none is known."""
    name: Any = row.get({"calls": "pod", "pods": "name", "workers": ""}[view])
    return name if isinstance(name, str) else ""


def _text(view: View, row: JsonObject) -> str:
    return "\n".join(str(row.get(key) or "") for key in _SEARCHED[view]).lower()


def _calls(_: JsonObject, calls: JsonObject) -> list[JsonObject]:
    return objects(calls, "tunnels")


def _pods(state: JsonObject, _: JsonObject) -> list[JsonObject]:
    return [
        pod | {"upstream": upstream.get("name")}
        for upstream in objects(state, "upstreams")
        for pod in objects(upstream, "pods")
    ]


def _workers(state: JsonObject, _: JsonObject) -> list[JsonObject]:
    return objects(state, "workers")
