from __future__ import annotations

import copy
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from splicer.config.dump import as_tables
from splicer.config.json_schema import json_schema
from splicer.config.load import load
from splicer.errors import ConfigError
from tests.config.documents import dump

ROOT = Path(__file__).parents[2]
SHIPPED = ("deploy/base/routing.toml", "splicer/demo/routing.toml")
VALIDATOR = jsonschema.Draft7Validator(json_schema())
EVERYTHING = as_tables(load((ROOT / "routing.toml").read_text(encoding="utf-8"), environ={}))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a document lies."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return document


def is_taken(document: dict[str, Any]) -> bool:
    try:
        load("\n".join(f"{key} = {dump(value)}" for key, value in document.items()), environ={})
    except ConfigError:
        return False
    return True


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", SHIPPED)
def test_the_shipped_files_are_valid(path: str) -> None:
    VALIDATOR.validate(tomllib.loads((ROOT / path).read_text(encoding="utf-8")))


@settings(deadline=None)
@given(st.sampled_from(places(EVERYTHING)[1:]), st.sampled_from([True, -1, 1.5, [], [True], {}, {"a": True}, date.min]))
def test_no_value_of_another_type_than_the_key_s_is_valid(path: tuple[Any, ...], value: Any) -> None:
    there = EVERYTHING
    for key in path:
        there = there[key]
    assume(type(value) is not type(there))
    document = replaced(EVERYTHING, path, value)
    assert not VALIDATOR.is_valid(document)
    assert isinstance(value, date) or not is_taken(document)


ROUTE: dict[str, Any] = {"name": "a", "path": "/", "upstream": "a"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"routes": []},
        {"routes": [ROUTE], "sever": {}},
        {"routes": [ROUTE], "server": {"lisen": ":80"}},
        {"routes": [ROUTE], "upstreams": {"a": {}}},
        {"routes": [{**ROUTE, "prefix": "/"}]},
        {"routes": [{**ROUTE, "respond": "status"}]},
        {"routes": [{"path": "/", "upstream": "a"}]},
        {"routes": [{"name": "a", "upstream": "a"}]},
        {"routes": [{"name": "a", "path": "/"}]},
        {"routes": [{"name": "a", "path": "/", "respond": "status", "log": False, "rewrite": "/"}]},
        {"routes": [{"name": "a", "path": "/", "respond": {"status": 200, "draining": {"status": 1}}}]},
        {"routes": [{"name": "a", "path": "/", "respond": {"status": 200, "draining": {"draining": {}}}}]},
        {"routes": [{**ROUTE, "fallback_on": [502]}]},
        {"routes": [{**ROUTE, "authorize": {"path": "/"}}]},
        {"routes": [{**ROUTE, "authorize": {"upstream": "a", "path": "/", "body": True}}]},
        {"routes": [{"name": "a", "path": "/", "respond": "status", "retries": 1, "fallback_on": [502]}]},
        {"routes": [{**ROUTE, "upstream": {}}]},
        {"routes": [{**ROUTE, "upstream": {"a": -1}}]},
        {"routes": [{**ROUTE, "upstream": {"a": "95"}}]},
        {"routes": [{**ROUTE, "upstream": {"a": 1}, "hash_on": "ip"}]},
        {"routes": [{**ROUTE, "deadlines": {"head": "1s"}}]},
        {"routes": [{**ROUTE, "deadlines": {"drain": "1s"}}]},
    ],
)
def test_what_is_missing_unknown_or_too_much_is_no_valid_file(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)
    assert not is_taken({"upstreams": {"a": {"address": "a.test:80"}}, **document})


def test_each_key_is_explained() -> None:
    def keys(schema: Any) -> list[dict[str, Any]]:
        if isinstance(schema, list):
            return [key for item in schema for key in keys(item)]
        if not isinstance(schema, dict):
            return []
        return [*schema.get("properties", {}).values(), *(key for item in schema.values() for key in keys(item))]

    tables = json_schema()["properties"]
    found = [key for table in tables.values() for key in keys(table)]
    assert len(found) > 60
    assert all(key["description"].endswith(".") for key in found)
