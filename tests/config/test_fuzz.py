"""The law of `config`: any text is a `Config`, or a `ConfigError` that says why; never any other error.

What is a `Config` is valid by the JSON schema too.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.config.diff import diff
from splicer.config.json_schema import json_schema
from splicer.config.lint import warnings
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.errors import ConfigError
from tests.config.documents import DOCUMENTS, KEYS, VALUES, dump, quoted
from tests.kit.laws import examples

REAL = (Path(__file__).parents[2] / "routing.toml").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft7Validator(json_schema())


def outcome(text: str, environ: dict[str, str]) -> Config | tuple[str, ...]:
    """What `load` makes of a text; and of a `Config`, that the rest of the room can work with it."""
    try:
        config = load(text, environ=environ)
    except ConfigError as error:
        return error.faults
    assert all(warning.isprintable() for warning in warnings(config))
    assert diff(config, config) == ()
    VALIDATOR.validate(tomllib.loads(text.removeprefix("\ufeff")))
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


@settings(max_examples=examples(200), deadline=None)
@given(DOCUMENTS, st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=4)))
def test_any_document(document: dict[str, Any], environ: dict[str, str]) -> None:
    check("\n".join(f"{quoted(key)} = {dump(value)}" for key, value in document.items()), environ)


@settings(max_examples=examples(200), deadline=None)
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
