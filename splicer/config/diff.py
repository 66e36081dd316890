"""The differences between two configurations, for the log line of a reload."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from itertools import chain

import attrs

from splicer.config import passthrough, routes, upstreams
from splicer.config.error_pages import by_status
from splicer.config.hooks import HOOK, hook_spec_of
from splicer.config.keys import Key
from splicer.config.reader import toml_key
from splicer.config.scalars import show
from splicer.config.schema import Config
from splicer.config.sections import SECTIONS
from splicer.config.tls import TLS
from splicer.config.tracing import TRACING
from splicer.config.values import format_duration
from splicer.model import Deadlines, Route
from splicer.routing.passthrough import Passthrough

_LISTED_APART = ("path", "prefix", "regex", "deadlines")  # keys of a route


def diff(old: Config, new: Config) -> tuple[str, ...]:
    """One line for each change from `old` to `new`; none if they are equal."""
    parts = (_sections, _tracing, _tls, _upstreams, _routes, _errors, _passthrough, _hooks)
    return tuple(chain.from_iterable(part(old, new) for part in parts))


def needs_restart(old: Config, new: Config) -> tuple[str, ...]:
    """The changed keys that take effect only at a restart: they belong to the processes, not to requests."""
    return tuple(
        f"{section}.{name}"
        for section, reader in SECTIONS.items()
        for name, key in reader.keys.items()
        if key.fixed and getattr(getattr(old, section), name) != getattr(getattr(new, section), name)
    )


def _sections(old: Config, new: Config) -> Iterator[str]:
    for section, reader in SECTIONS.items():
        yield from _fields(f"{section}.", reader.keys, getattr(old, section), getattr(new, section))


def _tracing(old: Config, new: Config) -> Iterator[str]:
    before, after = old.tracing, new.tracing
    if before is not None and after is not None:
        yield from _fields("tracing.", TRACING.keys, before, after)
    elif before is not after:
        yield f"tracing: {'added' if before is None else 'removed'}"


def _tls(old: Config, new: Config) -> Iterator[str]:
    yield from _membership("tls", old.tls, new.tls)
    for name, before in old.tls.items():
        if (after := new.tls.get(name)) is not None:
            yield from _fields(f"tls.{toml_key(name)}.", TLS.keys, before, after)


def _upstreams(old: Config, new: Config) -> Iterator[str]:
    yield from _membership("upstreams", old.upstreams, new.upstreams)
    for name, before in old.upstreams.items():
        if (after := new.upstreams.get(name)) is not None:
            specs = upstreams.spec_of(before), upstreams.spec_of(after)
            yield from _fields(f"upstreams.{toml_key(name)}.", upstreams.UPSTREAM.keys, *specs)


def _routes(old: Config, new: Config) -> Iterator[str]:
    befores = {route.name: route for route in old.routes}
    afters = {route.name: route for route in new.routes}
    yield from _membership("routes", befores, afters)
    if [name for name in befores if name in afters] != [name for name in afters if name in befores]:
        yield "routes: order changed"
    for name, before in befores.items():
        if (after := afters.get(name)) is not None:
            place = f"routes {show(name)}: "
            if before.pattern != after.pattern:
                yield f"{place}pattern {before.pattern.text} → {after.pattern.text}"
            specs = routes.spec_of(before), routes.spec_of(after)
            yield from _fields(place, routes.ROUTE.keys, *specs, but=_LISTED_APART)
            yield from _own_deadlines(place, (before, old.deadlines), (after, new.deadlines))


def _errors(old: Config, new: Config) -> Iterator[str]:
    before, after = by_status(old.errors), by_status(new.errors)
    for status in sorted(before.keys() | after.keys()):
        was, now = before.get(status), after.get(status)
        if was is None or now is None:
            yield f"errors: {'added' if was is None else 'removed'} {status}"
        elif (was.body, was.content_type) != (now.body, now.content_type):
            yield f"errors: {status} changed"


def _passthrough(old: Config, new: Config) -> Iterator[str]:
    befores, afters = ({name: each for each in config.passthrough for name in each.names} for config in (old, new))
    yield from _membership("passthrough", befores, afters)
    for name, before in befores.items():
        if (after := afters.get(name)) is not None:
            place, specs = f"passthrough {show(name)}: ", (passthrough.spec_of(before), passthrough.spec_of(after))
            if specs[0].upstream != specs[1].upstream:
                yield f"{place}upstream {specs[0].upstream} → {specs[1].upstream}"
            yield from _own_deadlines(place, (before, old.deadlines), (after, new.deadlines))


def _hooks(old: Config, new: Config) -> Iterator[str]:
    yield from _membership("hooks", old.hooks, new.hooks)
    for name, before in old.hooks.items():
        if (after := new.hooks.get(name)) is not None:
            yield from _fields(f"hooks.{toml_key(name)}.", HOOK.keys, hook_spec_of(before), hook_spec_of(after))


def _own_deadlines(
    place: str, before: tuple[Route | Passthrough, Deadlines], after: tuple[Route | Passthrough, Deadlines]
) -> Iterator[str]:
    """A route's changed deadlines, without those that changed only because ``[deadlines]`` did."""
    for key in attrs.fields_dict(Deadlines):
        was, was_for_all = (getattr(deadlines, key) for deadlines in (before[0].deadlines, before[1]))
        now, now_for_all = (getattr(deadlines, key) for deadlines in (after[0].deadlines, after[1]))
        if was != now and (was, now) != (was_for_all, now_for_all):
            yield f"{place}deadlines.{key} {format_duration(was)} → {format_duration(now)}"


def _membership(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{kind}: added {show(name)}" for name in new if name not in old)
    yield from (f"{kind}: removed {show(name)}" for name in old if name not in new)


def _fields(place: str, keys: Mapping[str, Key], old: object, new: object, but: Container[str] = ()) -> Iterator[str]:
    """The keys in which two tables differ."""
    for name, key in keys.items():
        before, after = getattr(old, name), getattr(new, name)
        if before != after and name not in but:
            was, now = key.brief(before), key.brief(after)
            yield f"{place}{name} changed" if was == now else f"{place}{name} {was} → {now}"
