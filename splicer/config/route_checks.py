"""The rules between the keys of a ``[[routes]]`` table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from splicer.config.authorize_checks import authorize_faults, without_answer
from splicer.config.keys import keys_of
from splicer.config.reader import Fault, Reading, toml_key
from splicer.config.route_spec import RouteSpec
from splicer.config.scalars import show, suggest
from splicer.edits import Value
from splicer.hook_settings import HookSettings
from splicer.model import Upstream
from splicer.patterns import PathPattern, Template
from splicer.routing.value import FACTS

PATTERNS = ("path", "prefix", "regex")
ANSWERS = ("respond", "redirect", "upstream")


def broken_rules(
    spec: RouteSpec,
    reading: Reading[RouteSpec],
    upstreams: Mapping[str, Upstream | None] | None,
    hooks: Mapping[str, HookSettings | None] | None = None,
) -> Iterator[Fault]:
    """The faults in the combination of keys.

    Invariant: a key that has a fault of its own counts as given and causes no other fault.

    Args:
        spec: made from the keys without faults.
        reading: the reading that `spec` comes from.
        upstreams: by name, None for one with faults; None instead of the mapping if the upstreams could not be read.
        hooks: as `upstreams`.
    """
    given, later = reading.given, _later(spec, reading, hooks)
    if "name" not in given:
        yield Fault(("name",), "is missing")
    yield from _exactly_one(PATTERNS, given)
    yield from _exactly_one(ANSWERS, given)
    yield from _belonging_together(spec, reading)
    yield from _unreachable(spec, reading)
    yield from _captures("rewrite", spec.rewrite, spec, reading, later)
    yield from _choice(spec, reading, later)
    yield from _hooks(spec, hooks)
    if spec.authorize is not None:
        yield from authorize_faults(spec, spec.authorize, reading.given, upstreams)
    yield from _names(spec, reading, later)
    if spec.redirect is not None and "host" in spec.redirect.to.names and "hosts" not in given:
        yield Fault(("redirect", "to"), "{host} needs hosts: without them any client could choose where it leads")
    for key, name in (*(("upstream", name) for name, _ in spec.weights), ("fallback", spec.fallback)):
        if name is None or upstreams is None:
            continue
        if name not in upstreams:
            yield Fault((key,), f"unknown upstream {show(name)}{suggest(name, upstreams)}")
        elif (upstream := upstreams[name]) is not None:
            yield from _captures(key, upstream.host, spec, reading, later)


def _later(
    spec: RouteSpec, reading: Reading[RouteSpec], hooks: Mapping[str, HookSettings | None] | None
) -> frozenset[str] | None:
    """The captures that hooks and the authorizer give; None: one of them has a fault, so that they may be any."""
    named = [None if hooks is None else hooks.get(name) for name in spec.hooks]
    if None in named or not reading.broken.isdisjoint(("authorize", "hooks")):
        return None
    asked = frozenset[str]() if spec.authorize is None else spec.authorize.names
    return asked.union(*(hook.captures for hook in named if hook is not None))


def _hooks(spec: RouteSpec, hooks: Mapping[str, HookSettings | None] | None) -> Iterator[Fault]:
    if hooks is None:
        return
    for name in dict.fromkeys(spec.hooks):
        if name not in hooks:
            remedy = suggest(name, hooks) or f"; write a table [hooks.{toml_key(name)}]"
            yield Fault(("hooks",), f"unknown hook {show(name)}{remedy}")


def _choice(spec: RouteSpec, reading: Reading[RouteSpec], later: Set[str] | None) -> Iterator[Fault]:
    if spec.hash_on is None:
        return
    if isinstance(spec.upstream, str):
        yield Fault(("hash_on",), f"needs several upstreams; write upstream = {{ {spec.upstream} = 95, canary = 5 }}")
    if spec.hash_on.source == "capture":
        yield from _unknown_captures("hash_on", {spec.hash_on.name}, "", spec, reading, later)


def _exactly_one(keys: tuple[str, ...], given: frozenset[str]) -> Iterator[Fault]:
    present = [key for key in keys if key in given]
    if not present:
        yield Fault((), f"has none of {', '.join(keys)}; a route has exactly one of them")
    for key in present[1:]:
        yield Fault((key,), f"can't stand beside {present[0]}; a route has exactly one of {', '.join(keys)}")


def _belonging_together(spec: RouteSpec, reading: Reading[RouteSpec]) -> Iterator[Fault]:
    given = reading.given
    besides = [(name, other) for name, key in keys_of(RouteSpec).items() if name in given for other in key.beside]
    missing = [(name, other) for name, other in besides if other not in given]
    if any(answer in given for answer in ANSWERS):
        yield from (Fault((name,), f"goes only with {other}") for name, other in missing if other in ANSWERS)
    if spec.strip_prefix and "prefix" not in given:
        yield Fault(("strip_prefix",), "goes only with prefix")
    if spec.strip_prefix and "rewrite" in given:
        yield Fault(("strip_prefix",), "can't stand beside rewrite, which gives the whole path")
    if spec.upgrade_only and "upgrade" not in given:
        yield Fault(("upgrade_only",), 'needs upgrade; write upgrade = ["websocket"]')
    yield from (Fault((name,), f"needs {other}") for name, other in missing if other not in ANSWERS)
    for name, key in keys_of(RouteSpec).items():
        if name in given and key.beside_any and not any(_in_force(other, spec, reading) for other in key.beside_any):
            yield Fault((name,), f"needs {' or '.join(key.beside_any)}")


def _in_force(name: str, spec: RouteSpec, reading: Reading[RouteSpec]) -> bool:
    return name in reading.broken or getattr(spec, name) not in (None, 0)


def _unreachable(spec: RouteSpec, reading: Reading[RouteSpec]) -> Iterator[Fault]:
    if spec.encoded_slash_in_force == "forward" or "encoded_slash" in reading.broken:
        return
    for key, pattern in (("path", spec.path), ("prefix", spec.prefix)):
        if pattern is not None and "%2F" in pattern.text:
            yield Fault((key,), 'has an encoded slash, which the route refuses; write encoded_slash = "forward"')


def _captures(
    key: str, template: Template | None, spec: RouteSpec, reading: Reading[RouteSpec], later: Set[str] | None
) -> Iterator[Fault]:
    if template is not None:
        where = "" if key == "rewrite" else f" in {template.text}"
        yield from _unknown_captures(key, template.captures, where, spec, reading, later)


def _unknown_captures(
    key: str,
    captures: Set[str],
    where: str,
    spec: RouteSpec,
    reading: Reading[RouteSpec],
    later: Set[str] | None,
) -> Iterator[Fault]:
    """Faults for captures that neither the route's pattern nor its hooks nor its authorizer give."""
    patterns = [name for name in PATTERNS if name in reading.given]
    if len(patterns) != 1 or patterns[0] in reading.broken:
        return
    pattern: PathPattern = getattr(spec, patterns[0])
    if spec.authorize is not None and (fault := without_answer(key, captures, spec.authorize, pattern)):
        yield fault
    if later is None:
        return
    for name in sorted(captures - pattern.captures - later):
        known = sorted(pattern.captures | later)
        remedy = suggest(name, known, "{{{}}}") or _known(patterns[0], pattern, spec, later)
        yield Fault((key,), f"unknown capture {{{name}}}{where}{remedy}")


def _names(spec: RouteSpec, reading: Reading[RouteSpec], later: Set[str] | None) -> Iterator[Fault]:
    """Faults for names in values that are neither a capture nor a fact of the request, or both."""
    patterns = [name for name in PATTERNS if name in reading.given]
    if len(patterns) != 1 or patterns[0] in reading.broken:
        return
    pattern: PathPattern = getattr(spec, patterns[0])
    captures = pattern.captures | (later or set())
    if spec.authorize is not None and spec.host is not None:
        fault = without_answer("host", spec.host.names, spec.authorize, pattern)
        yield from () if fault is None else (fault,)
    for path, value in _values(spec):
        for name in sorted(value.names):
            if name in captures and name in FACTS:
                yield Fault(path, f"{{{name}}} is a capture and a fact of the request; rename the capture")
            elif name not in captures and name not in FACTS and later is not None:
                known = sorted(captures | FACTS.keys())
                remedy = suggest(name, known, "{{{}}}") or f"; there are {', '.join(f'{{{each}}}' for each in known)}"
                yield Fault(path, f"unknown name {{{name}}}{remedy}")


def _values(spec: RouteSpec) -> Iterator[tuple[tuple[str, ...], Value]]:
    if spec.redirect is not None:
        yield ("redirect", "to"), spec.redirect.to
    if spec.host is not None:
        yield ("host",), spec.host
    for key, edits in (("request_headers", spec.request_headers), ("response_headers", spec.response_headers)):
        for name, value in edits.entries if edits is not None else ():
            if value is not None:
                yield (key, name.decode()), value


def _known(kind: str, pattern: PathPattern, spec: RouteSpec, later: Set[str]) -> str:
    if later:
        known = ", ".join(f"{{{name}}}" for name in sorted(pattern.captures | later))
        others = [*(["hooks"] if spec.hooks else []), *(["authorize.captures"] if spec.authorize else [])]
        return f"; the {kind} and {' and '.join(others)} give {known}"
    if kind != "regex":
        return f"; a {kind} has no captures, a regex has"
    if not pattern.captures:
        return "; the regex has no named group; write (?<name>...)"
    return f"; the regex captures {', '.join(f'{{{name}}}' for name in sorted(pattern.captures))}"
