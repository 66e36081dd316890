"""The JSON schema of routing.toml, for editors and for `taplo check`."""

from __future__ import annotations

from typing import Any

from splicer.config.error_pages import ERROR_PAGE
from splicer.config.hooks import HOOK
from splicer.config.kinds import Schema
from splicer.config.passthrough import PASSTHROUGH
from splicer.config.route_checks import ANSWERS, PATTERNS
from splicer.config.routes import ROUTE
from splicer.config.sections import SECTIONS
from splicer.config.tls import TLS
from splicer.config.tracing import TRACING
from splicer.config.upstreams import UPSTREAM


def json_schema() -> Schema:
    """The JSON Schema (draft-07) of a routing.toml.

    Invariant: every file that `load` accepts is valid. The reverse holds for the types of values, the ranges of numbers
    and the names of keys; the contents of strings, and rules between keys, are checked by `load` alone.
    """
    sections: dict[str, Any] = {name: reader.schema() for name, reader in SECTIONS.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "routing.toml of splicer",
        "type": "object",
        "properties": {
            **sections,
            "tls": {"type": "object", "additionalProperties": TLS.schema()},
            "upstreams": {"type": "object", "additionalProperties": UPSTREAM.schema()},
            "routes": {"type": "array", "minItems": 1, "items": _route()},
            "tracing": TRACING.schema(),
            "hooks": {"type": "object", "additionalProperties": HOOK.schema()},
            "errors": {"type": "array", "items": ERROR_PAGE.schema()},
            "passthrough": {"type": "array", "items": PASSTHROUGH.schema()},
        },
        "additionalProperties": False,
        "required": ["routes"],
    }


def _route() -> Schema:
    one_of_each = [{"oneOf": [{"required": [name]} for name in names]} for names in (PATTERNS, ANSWERS)]
    return {**ROUTE.schema(), "allOf": one_of_each}
