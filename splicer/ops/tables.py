"""Answers as tables for a person. Columns are never cut to the terminal's width: an id must be whole to be pasted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import Any

from attrs import frozen
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from splicer.model import authority
from splicer.ops.answer import JsonObject, part, rows
from splicer.ops.cells import milliseconds, names, size, span, words

_WIDEST = 1_000_000  # characters; wider than any table


def tunnels(answer: JsonObject, *, colors: bool) -> str:
    """The live tunnels: one line each."""
    return _drawn(_table(_TUNNEL, rows(answer, "tunnels")), colors=colors)


def upstreams(answer: JsonObject, *, colors: bool) -> str:
    """The endpoints: one line each; an upstream without any has a line too."""
    lines: list[JsonObject] = []
    for upstream in rows(answer, "upstreams"):
        named: JsonObject = {"upstream": upstream.get("name"), "limit": upstream.get("max_tunnels")}
        lines += [named | _endpoint(endpoint) for endpoint in rows(upstream, "endpoints")] or [named]
    return _drawn(_table(_ENDPOINT, lines), colors=colors)


def status(answer: JsonObject, *, colors: bool) -> str:
    """The state of the edge: general facts, workers, and drains."""
    parts: list[RenderableType] = [_facts(answer), "", _table(_WORKER, rows(answer, "workers"))]
    if tls := part(answer, "tls"):
        parts += ["", _table(_TLS, rows(tls, "processes")), "", _table(_CERTIFICATE, rows(tls, "certificates"))]
    if drains := rows(answer, "drains"):
        parts += ["", _table(_DRAIN, drains)]
    return _drawn(*parts, colors=colors)


def _facts(answer: JsonObject) -> Table:
    config = part(answer, "config")
    facts = {
        "version": words(answer.get("version")),
        "generation": words(answer.get("generation")),
        "uptime": span(answer.get("uptime_s")),
        "draining": words(answer.get("draining")),
        "tunnels": words(answer.get("remaining")),
        "last reload": _reload(part(config, "last_reload"), part(config, "reloads")),
        "worker restarts": words(answer.get("restarts")),
    }
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for fact in facts.items():
        table.add_row(*map(Text, fact))
    return table


def _reload(last: JsonObject, counts: JsonObject) -> str:
    if last.get("at") is None:
        return "none yet"
    outcome = "ok" if last.get("ok") else "failed"
    return f"{outcome}, {words(last['at'])} ({words(counts.get('ok'))} ok, {words(counts.get('failed'))} failed)"


# Since when, and why, is known of the states that follow from attempts; how long an ejection lasts, of that one.
def _endpoint(row: JsonObject) -> JsonObject:
    tried = row.get("state") in ("up", "down")
    shown = {"endpoint": authority(words(row.get("address")), words(row.get("port")))}
    return row | shown | {"since_s": row.get("since_s") if tried else None}


@frozen
class _Column:
    """A heading, the key of its values, and how they are shown. A heading is one word, for the sake of awk and sort."""

    heading: str
    key: str
    show: Callable[[Any], str] = words
    right: bool = True


_TUNNEL = (
    _Column("id", "id", right=False),
    _Column("route", "route", right=False),
    _Column("pod", "pod", right=False),
    _Column("client", "client", right=False),
    _Column("age", "age_s", span),
    _Column("idle", "idle_s", span),
    _Column("to-pod", "bytes_to_pod", size),
    _Column("to-client", "bytes_to_client", size),
    _Column("worker", "worker"),
    _Column("adopted", "adopted"),
    _Column("rtt-client", "client_rtt_ms", milliseconds),
    _Column("rtt-pod", "pod_rtt_ms", milliseconds),
    _Column("resent-client", "client_retransmits"),
    _Column("resent-pod", "pod_retransmits"),
)
_ENDPOINT = (
    _Column("upstream", "upstream", right=False),
    _Column("pod", "pod", right=False),
    _Column("endpoint", "endpoint", right=False),
    _Column("source", "source", right=False),
    _Column("zone", "zone", right=False),
    _Column("state", "state", right=False),
    _Column("since", "since_s", span),
    _Column("why", "failure", right=False),
    _Column("returns", "ejected_for_s", span),
    _Column("calls", "tunnels"),
    _Column("limit", "limit"),
    _Column("requests", "requests"),
)
_WORKER = (
    _Column("worker", "slot"),
    _Column("pid", "pid"),
    _Column("tunnels", "tunnels"),
    _Column("exchanges", "exchanges"),
    _Column("connections", "connections"),
    _Column("mover", "mover", right=False),
)
_TLS = (
    _Column("tls", "pid"),
    _Column("state", "state", right=False),
    _Column("generation", "generation", right=False),
    _Column("connections", "connections"),
)
_CERTIFICATE = (
    _Column("certificate", "path", right=False),
    _Column("profile", "profile", right=False),
    _Column("key", "key", right=False),
    _Column("names", "names", names, right=False),
    _Column("until", "not_after", right=False),
    _Column("days", "days_left"),
    _Column("current", "current"),
    _Column("why", "fault", right=False),
)
_DRAIN = (
    _Column("drain", "scope", right=False),
    _Column("name", "name", right=False),
    _Column("since", "since", right=False),
    _Column("remaining", "remaining"),
)


# Cells are Text, never str: in a str, rich would interpret "[red]" and ":smile:".
def _table(columns: Sequence[_Column], lines: Iterable[JsonObject]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(column.show(line.get(column.key))) for column in columns))
    return table


def _drawn(*parts: RenderableType, colors: bool) -> str:
    sheet = StringIO()
    console = Console(file=sheet, width=_WIDEST, force_terminal=colors)
    for each in parts:
        console.print(each)
    return "\n".join(line.rstrip() for line in sheet.getvalue().split("\n")).removesuffix("\n")
