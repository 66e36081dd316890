"""What a reload changes, for the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import attrs
from attrs import AttrsInstance

from splicer.config.plain import show
from splicer.config.schema import Config
from splicer.config.structure import toml_key
from splicer.config.values import format_duration
from splicer.model import Deadlines, Respond, Route, Upstream

_SECTIONS = ("server", "deadlines", "limits", "log", "resolver")
_FIXED = ("listen", "workers", "admin", "metrics")
_UNSET = {
    **dict.fromkeys(("admin", "metrics"), "off"),
    **dict.fromkeys(("hosts", "methods", "clients", "allow"), "any"),
    "body_bytes": "unlimited",
}


def diff(old: Config, new: Config) -> tuple[str, ...]:
    """One line for each change, from `old` to `new`; none if they say the same."""
    return (*_sections(old, new), *_upstreams(old, new), *_routes(old, new))


def needs_restart(old: Config, new: Config) -> tuple[str, ...]:
    """The changed keys that stay as they are until a restart: they belong to the processes, not to requests."""
    changed = [f"server.{key}" for key in _FIXED if getattr(old.server, key) != getattr(new.server, key)]
    return (*changed, *(("log.format",) if old.log.format != new.log.format else ()))


def _sections(old: Config, new: Config) -> Iterator[str]:
    for section in _SECTIONS:
        yield from _fields(f"{section}.", getattr(old, section), getattr(new, section))


def _upstreams(old: Config, new: Config) -> Iterator[str]:
    yield from _membership("upstreams", old.upstreams, new.upstreams)
    for name, before in old.upstreams.items():
        after = new.upstreams.get(name)
        if after is None:
            continue
        place = f"upstreams.{toml_key(name)}."
        if before.text != after.text:
            yield f"{place}address {before.text} → {after.text}"
        yield from _fields(place, before, after, but=("host", "port"))


def _routes(old: Config, new: Config) -> Iterator[str]:
    befores = {route.name: route for route in old.routes}
    afters = {route.name: route for route in new.routes}
    yield from _membership("routes", befores, afters)
    if [name for name in befores if name in afters] != [name for name in afters if name in befores]:
        yield "routes: order changed"
    for name, before in befores.items():
        after = afters.get(name)
        if after is not None:
            place = f"routes {show(name)}: "
            yield from _fields(place, before, after, but=("index", "deadlines"))
            yield from _own_deadlines(place, (before, old.deadlines), (after, new.deadlines))


def _own_deadlines(place: str, before: tuple[Route, Deadlines], after: tuple[Route, Deadlines]) -> Iterator[str]:
    """A route's changed deadlines, without those that merely follow ``[deadlines]``."""
    for key in attrs.fields_dict(Deadlines):
        was, was_for_all = (getattr(deadlines, key) for deadlines in (before[0].deadlines, before[1]))
        now, now_for_all = (getattr(deadlines, key) for deadlines in (after[0].deadlines, after[1]))
        if was != now and (was, now) != (was_for_all, now_for_all):
            yield f"{place}deadlines.{key} {format_duration(was)} → {format_duration(now)}"


def _membership(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{kind}: added {show(name)}" for name in new if name not in old)
    yield from (f"{kind}: removed {show(name)}" for name in old if name not in new)


def _fields(place: str, old: AttrsInstance, new: AttrsInstance, but: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields in which two instances of one attrs class differ."""
    for key in attrs.fields_dict(type(old)):
        before, after = getattr(old, key), getattr(new, key)
        if key in but or _own(before) == _own(after):
            continue
        unset = _UNSET.get(key, "none")
        was, now = _words(before, unset), _words(after, unset)
        yield f"{place}{key} changed" if was == now else f"{place}{key} {was} → {now}"


def _own(value: object) -> object:
    """What belongs to the field itself: an upstream's changes are told once, not with each route that uses it."""
    return value.name if isinstance(value, Upstream) else value


def _words(value: Any, unset: str) -> str:
    """A value as a person writes it in the file."""
    match value:
        case None | ():
            return unset
        case bool():
            return str(value).lower()
        case float():
            return format_duration(value)
        case Enum():
            return str(value.value)
        case Upstream(name=name):
            return name
        case Respond():
            return f"{value.status} {show(value.body.decode())}"
        case (str() as host, int() as port):
            return f"{host}:{port}"
        case tuple() | frozenset():
            items = sorted(value) if isinstance(value, frozenset) else value
            return ", ".join(_words(item, unset) for item in items) or unset
        case Mapping():
            return ", ".join(f"{name} = {_words(item, unset)}" for name, item in value.items()) or "none"
        case _:
            return str(getattr(value, "text", value))
