"""Documents that are nearly a routing.toml, and how TOML writes them."""

from __future__ import annotations

import json
from typing import Any

import attrs
from attrs import AttrsInstance
from hypothesis import strategies as st

from splicer.config.authorize import AuthorizeSpec
from splicer.config.error_pages import ErrorPage
from splicer.config.hooks import HookSpec
from splicer.config.route_spec import RouteSpec
from splicer.config.schema import Limits, LogSettings, ResolverSettings, ServerSettings
from splicer.config.tracing import TracingSettings
from splicer.config.upstreams import UpstreamSpec
from splicer.model import Deadlines, Respond

SECTIONS: dict[str, type[AttrsInstance]] = {
    "server": ServerSettings,
    "deadlines": Deadlines,
    "limits": Limits,
    "log": LogSettings,
    "resolver": ResolverSettings,
    "tracing": TracingSettings,
}
CLASSES = (*SECTIONS.values(), UpstreamSpec, Respond, AuthorizeSpec, HookSpec, RouteSpec)
KEYS = [key for cls in CLASSES for key in attrs.fields_dict(cls)]

WORDS = """
    pod api / /a ^/(?<pod>[^/]+)(?<rest>/.*)$ {rest} {pod}.svc:80 api:80 ::1 [::]:80 10.0.0.0/8 127.0.0.1 status off
    a:B /etc refuse continue
    http://a/b https://[::1]:1/?x w3c
    auto 1h never 10KiB GET websocket ${A} ${B:-1} *.a.b $${ ${ ( { json random application/json
"""

LEAVES = st.one_of(
    st.sampled_from([*WORDS.split(), "", "é\n\x00", "\u2028"]),
    st.text(max_size=5),
    st.integers(-1, 600) | st.integers(),
    st.booleans(),
    st.floats(),
)


def table(cls: type[AttrsInstance], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A table with some of the keys of a class, and seldom one of another."""
    own = st.dictionaries(st.sampled_from(list(attrs.fields_dict(cls))), values, max_size=6)
    other = st.dictionaries(st.sampled_from(KEYS), values, max_size=1)
    return own | st.tuples(own, other).map(merged)


def is_text(value: object) -> bool:
    return isinstance(value, str)


def merged(tables: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return tables[0] | tables[1]


VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=3),
    LEAVES,
    table(Respond, LEAVES | table(Respond, LEAVES)),
    table(
        AuthorizeSpec,
        LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(LEAVES.filter(is_text), LEAVES, max_size=2),
    ),
    st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=5),
)

SOUND = {"name": "n", "path": "/a", "upstream": "api"}
DOCUMENTS = st.fixed_dictionaries(
    {"routes": st.lists(st.tuples(st.just(SOUND), table(RouteSpec, VALUES)).map(merged), max_size=3)},
    optional={
        **{section: table(cls, VALUES) for section, cls in SECTIONS.items()},
        "upstreams": st.dictionaries(st.sampled_from(["api", "pod"]), table(UpstreamSpec, VALUES)),
        "hooks": st.dictionaries(st.sampled_from(["api", "pod"]), table(HookSpec, VALUES)),
        "errors": LEAVES | st.lists(table(ErrorPage, LEAVES | st.lists(LEAVES)), max_size=2),
    },
)


def dump(value: Any) -> str:
    """A value as TOML writes it inline."""
    match value:
        case dict():
            return f"{{{', '.join(f'{quoted(key)} = {dump(item)}' for key, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(dump, value))}]"
        case str():
            return quoted(value)
        case float():
            return repr(value).replace("e+", "e")
        case _:
            return json.dumps(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
