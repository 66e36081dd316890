"""Warnings about a valid routing.toml: things that its author probably did not mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from ipaddress import ip_address

from splicer.config.edit_lint import edit_warnings
from splicer.config.health_lint import health_warnings
from splicer.config.listener import EVERYBODY
from splicer.config.load import BYTE_ORDER_MARK
from splicer.config.scalars import show
from splicer.config.schema import Config
from splicer.config.upstream_lint import upstream_warnings
from splicer.config.values import format_duration
from splicer.model import Deadlines, Route
from splicer.routing.normal import decoded_form, normal_form
from splicer.routing.shadow import shadowed

_IN_REGEX = re.compile(r"//(?![*?{])|%[0-9A-Fa-f]{2}(?![*?{])")


def warnings(config: Config, text: str = "") -> tuple[str, ...]:
    """One line for each warning, with its route and key.

    Args:
        config: the configuration.
        text: the text of its file.
    """
    return (
        *_byte_order_mark(text),
        *upstream_warnings(config),
        *health_warnings(config),
        *_shadows(config),
        *_stars(config),
        *_schemes(config),
        *edit_warnings(config),
        *_spellings(config),
        *_unreachable_deadlines(config),
        *_short_of_retries(config),
        *_unused_upstreams(config),
        *_unused_profiles(config),
        *_unscrapable_metrics(config),
        *_forgeable_addresses(config),
        *_limited_calls(config),
    )


def _byte_order_mark(text: str) -> Iterator[str]:
    if text.startswith(BYTE_ORDER_MARK):
        yield "begins with a byte-order mark (BOM), which is skipped; save it as UTF-8 without one"


def _place(route: Route) -> str:
    return f"routes {route.index} {show(route.name)}"


def _shadows(config: Config) -> Iterator[str]:
    for route, taker in shadowed(config.routes):
        yield f"{_place(route)}: can never match: {_place(taker)} takes all that it would"


def _spellings(config: Config) -> Iterator[str]:
    """Patterns that match no normal form, or only one of two spellings that most pods treat as the same path."""
    for route in config.routes:
        kind, _, pattern = route.pattern.text.partition(" ")
        if kind == "regex":
            for odd in dict.fromkeys(_IN_REGEX.findall(pattern)):
                if (usual := normal_form(odd)) != odd and "(?i" not in pattern:
                    yield f"{_place(route)}: regex: {show(odd)} is in no path that it looks at; write {show(usual)}"
        elif route.guarded and (plain := decoded_form(pattern)) != pattern:
            yield f"{_place(route)}: {kind}: does not match {show(plain)}, the same to most pods; write that"


def _stars(config: Config) -> Iterator[str]:
    """A "*" outside a regex: in other proxies it means any text."""
    for route in config.routes:
        kind, _, pattern = route.pattern.text.partition(" ")
        if kind != "regex" and "*" in pattern:
            start = pattern.rstrip("*")
            remedy = "a regex, in which [^/]+ is one segment" if "*" in start else f"prefix = {show(start)}"
            yield f'{_place(route)}: {kind}: in {show(pattern)} a "*" stands for itself alone; write {remedy}'


def _schemes(config: Config) -> Iterator[str]:
    """Routes for https behind nothing that is believed to say that a client came by it."""
    for route in config.routes:
        introduced = any(listener.proxy_protocol or listener.tls for listener in config.server.listen)
        if route.scheme == "https" and not config.server.trusted_proxies and not introduced:
            yield (
                f'{_place(route)}: scheme: "https" is no request\'s: only one of server.trusted_proxies is believed '
                "when X-Forwarded-Proto says so; name the proxies in front"
            )


def _unreachable_deadlines(config: Config) -> Iterator[str]:
    """Deadlines of one attempt that are longer than `attempts`: they can never run out."""
    for key in _cut_short(config.deadlines):
        yield _longer("", key, config.deadlines)
    for route in config.routes:
        for key in _cut_short(route.deadlines):
            inherited = all(getattr(route.deadlines, k) == getattr(config.deadlines, k) for k in (key, "attempts"))
            if not inherited:
                yield _longer(f"{_place(route)}: ", key, route.deadlines)


def _short_of_retries(config: Config) -> Iterator[str]:
    """Routes whose `attempts` ends before each retry has had its time to connect."""
    for route in config.routes:
        wanted = (1 + route.retries) * route.deadlines.connect
        if route.retries and route.deadlines.attempts < wanted < math.inf:
            yield (
                f"{_place(route)}: retries: {route.retries} of them and the first attempt may take "
                f"{format_duration(wanted)} to connect, and deadlines.attempts ends all after "
                f"{format_duration(route.deadlines.attempts)}; lower deadlines.connect"
            )


def _cut_short(deadlines: Deadlines) -> list[str]:
    parts = ("resolve", "connect", "handshake")
    return [key for key in parts if deadlines.attempts < getattr(deadlines, key) < math.inf]


def _longer(place: str, key: str, deadlines: Deadlines) -> str:
    part, whole = format_duration(getattr(deadlines, key)), format_duration(deadlines.attempts)
    return f"{place}deadlines.{key}: {part} can never run out: deadlines.attempts ends all attempts after {whole}"


def _unused_upstreams(config: Config) -> Iterator[str]:
    used = {upstream.name for route in config.routes for upstream in (*route.upstreams, route.fallback) if upstream}
    used |= {passthrough.upstream.name for passthrough in config.passthrough}
    used |= {route.authorize.upstream.name for route in config.routes if route.authorize}
    for name in config.upstreams:
        if name not in used:
            yield f"upstreams.{name}: no route uses it"


def _unused_profiles(config: Config) -> Iterator[str]:
    """Certificates that no listener shows."""
    used = {listener.tls for listener in config.server.listen}
    for name in config.tls:
        if name not in used:
            yield f"tls.{name}: no entry of server.listen names it; its files are not read"


def _unscrapable_metrics(config: Config) -> Iterator[str]:
    metrics = config.server.metrics
    if metrics is not None and not metrics.port:
        yield f"server.metrics: {metrics}: port 0 takes any free one, which no scraper knows"


def _forgeable_addresses(config: Config) -> Iterator[str]:
    """PROXY headers that are believed of whoever reaches the address."""
    for number, listener in enumerate(config.server.listen, 1):
        if listener.proxy_protocol == EVERYBODY and not ip_address(listener.address.host).is_loopback:
            yield (
                f'server.listen.{number}.proxy_protocol: "required": whoever reaches {listener.address} can name any '
                'client address; write the networks of the load balancers, such as ["10.0.0.0/8"]'
            )


def _limited_calls(config: Config) -> Iterator[str]:
    """A rate for each client on a route for calls: a provider with thousands of calls is few clients."""
    for route in config.routes:
        if route.upgrade and route.rate_limit is not None and route.rate_limit.by == "client":
            yield (
                f'{_place(route)}: rate_limit.by: "client": a provider calls from few addresses, and all its calls '
                'share their rate; write by = "route", or a header that names the caller'
            )
