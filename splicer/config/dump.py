"""A `Config` as the tables of a routing.toml, with every default written out."""

from __future__ import annotations

from typing import Any

from splicer.config import passthrough, routes, upstreams
from splicer.config.error_pages import ERROR_PAGE
from splicer.config.hooks import HOOK, hook_spec_of
from splicer.config.keys import written
from splicer.config.passthrough import PASSTHROUGH
from splicer.config.schema import Config
from splicer.config.sections import SECTIONS
from splicer.config.tls import TLS
from splicer.config.tracing import TRACING


def as_tables(config: Config) -> dict[str, Any]:
    """The configuration in force, in the file's own keys and notation (design §7), with every default written out.

    Invariant: these tables, written as TOML, load as an equal `Config`. So a key whose absence means "any" or "none" is
    left out, as is one that would be a fault beside the others (a `respond` route has no deadlines); and a literal
    ``${`` is escaped.

    Args:
        config: a configuration made by `load`.

    Returns:
        Only tables, lists, strings, numbers and booleans, so that the result can be written as JSON too.
    """
    upstream_keys, route_keys = upstreams.UPSTREAM.keys, routes.ROUTE.keys
    tables: dict[str, Any] = _escaped(
        {
            **{name: written(section.keys, getattr(config, name)) for name, section in SECTIONS.items()},
            "upstreams": {
                name: written(upstream_keys, upstreams.spec_of(upstream)) for name, upstream in config.upstreams.items()
            },
            "routes": [written(route_keys, routes.spec_of(route)) for route in config.routes],
            "errors": [written(ERROR_PAGE.keys, page) for page in config.errors],
            "passthrough": [written(PASSTHROUGH.keys, passthrough.spec_of(each)) for each in config.passthrough],
            "hooks": {name: written(HOOK.keys, hook_spec_of(hook)) for name, hook in config.hooks.items()},
            "tls": {name: written(TLS.keys, profile) for name, profile in config.tls.items()},
            **({} if config.tracing is None else {"tracing": written(TRACING.keys, config.tracing)}),
        }
    )
    return tables


def _escaped(value: Any) -> Any:
    """Escape "${" in all strings, so that none is a reference to the environment; `config.environment` ignores keys."""
    match value:
        case str():
            return value.replace("${", "$${")
        case list():
            return [_escaped(item) for item in value]
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case _:
            return value
