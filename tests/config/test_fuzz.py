"""The law of the room: any text is a `Config`, or a `ConfigError` that tells why; never any other error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from attrs import AttrsInstance
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.config.advice import warnings
from splicer.config.diff import diff
from splicer.config.load import load
from splicer.config.respond import RespondSpec
from splicer.config.routerules import RouteSpec
from splicer.config.schema import Config, Limits, LogSettings, ResolverSettings, ServerSettings
from splicer.config.upstreams import UpstreamSpec
from splicer.errors import ConfigError
from splicer.model import Deadlines

REAL = (Path(__file__).parents[2] / "routing.toml").read_text(encoding="utf-8")

SECTIONS: dict[str, type[AttrsInstance]] = {
    "server": ServerSettings,
    "deadlines": Deadlines,
    "limits": Limits,
    "log": LogSettings,
    "resolver": ResolverSettings,
}
CLASSES = (*SECTIONS.values(), UpstreamSpec, RespondSpec, RouteSpec)
KEYS = [key for cls in CLASSES for key in attrs.fields_dict(cls)]

WORDS = """
    pod api / /a ^/(?<pod>[^/]+)(?<rest>/.*)$ {rest} {pod}.svc:80 api:80 ::1 [::]:80 10.0.0.0/8 127.0.0.1 status off
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


def merged(tables: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return tables[0] | tables[1]


VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=3),
    LEAVES,
    table(RespondSpec, LEAVES | table(RespondSpec, LEAVES)),
    st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=5),
)

SOUND = {"name": "n", "path": "/a", "upstream": "api"}
DOCUMENTS = st.fixed_dictionaries(
    {"routes": st.lists(st.tuples(st.just(SOUND), table(RouteSpec, VALUES)).map(merged), max_size=3)},
    optional={
        **{section: table(cls, VALUES) for section, cls in SECTIONS.items()},
        "upstreams": st.dictionaries(st.sampled_from(["api", "pod"]), table(UpstreamSpec, VALUES)),
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


def outcome(text: str, environ: dict[str, str]) -> Config | tuple[str, ...]:
    """What `load` makes of a text; and of a `Config`, that the rest of the room can work with it."""
    try:
        config = load(text, environ=environ)
    except ConfigError as error:
        return error.faults
    assert all(warning.isprintable() for warning in warnings(config))
    assert diff(config, config) == ()
    return config


def check(text: str, environ: dict[str, str]) -> None:
    faults = outcome(text, environ)
    if not isinstance(faults, Config):
        assert faults
        assert len(set(faults)) == len(faults)
        for fault in faults:
            assert fault.startswith("routing.toml: ")
            assert fault.isprintable()


@settings(deadline=None)
@given(st.text() | st.text('[]{}="\n.#a1', max_size=30))
def test_any_text(text: str) -> None:
    check(text, {})


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=4)))
def test_any_document(document: dict[str, Any], environ: dict[str, str]) -> None:
    check("\n".join(f"{quoted(key)} = {dump(value)}" for key, value in document.items()), environ)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_real_file_with_a_word_gone_wrong(data: st.DataObject) -> None:
    lines = REAL.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[index].partition("=")
        change = data.draw(st.sampled_from(["value", "key", "cut", "gone"]))
        if change == "value" and equals:
            lines[index] = f"{key}= {dump(data.draw(VALUES))}"
        elif change == "key" and equals:
            lines[index] = f"{data.draw(st.sampled_from(KEYS))} ={value}"
        elif change == "cut":
            lines[index] = lines[index][: data.draw(st.integers(0, len(lines[index])))]
        else:
            lines[index] = ""
    check("\n".join(lines), {})
