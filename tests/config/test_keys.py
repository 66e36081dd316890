from __future__ import annotations

from typing import get_type_hints

import attrs
import pytest
from attrs import AttrsInstance, frozen

from splicer.authorization import Authorize
from splicer.config.authorize import AuthorizeSpec
from splicer.config.hooks import HookSpec
from splicer.config.keys import Key, key, keys_of, shared, written
from splicer.config.kinds import BOOLEAN, DURATION, integer, list_of, unless
from splicer.config.route_spec import RouteSpec
from splicer.config.upstreams import UpstreamSpec
from splicer.hook_settings import HookSettings
from splicer.model import Route, Upstream
from tests.config.test_kinds import KEYS, READERS

CONVERTED = {
    "host",
    "request_headers",
    "response_headers",
    "authorize",
    "hooks",
    "encoded_slash",
    "upstream",
    "hash_on",
    "fallback",
    "fallback_on",
    "strip_prefix",
    "deadlines",
}
PATTERN = {"path", "prefix", "regex"}  # of these a route has its `pattern`


@frozen
class Sample:
    need: int = key(integer(1), "What is needed.")
    wait: float | None = key(unless("off", None, DURATION), "How long.", default=None)
    names: tuple[float, ...] = key(list_of(DURATION, "durations", empty="why"), "Some.", default=(), absent="any")
    more: bool = key(BOOLEAN, "Whether.", default=False, beside=("extra",))
    extra: float | None = key(DURATION, "More.", default=None)
    some: float = key(DURATION, "Some.", default=1.0, beside_any=("extra", "tries"))
    tries: int = key(integer(0), "Tries.", default=0)


def test_a_declaration_is_found_by_its_class() -> None:
    keys = keys_of(Sample)
    assert list(keys) == ["need", "wait", "names", "more", "extra", "some", "tries"]
    assert keys["need"] == Key(keys["need"].kind, "What is needed.", required=True)
    assert (keys["more"].required, keys["more"].beside) == (False, ("extra",))
    assert Sample(need=1) == Sample(1, None, (), False, None, 1.0, 0)


def test_a_table_is_written_without_what_the_file_would_refuse() -> None:
    keys = keys_of(Sample)
    assert written(keys, Sample(1)) == {"need": 1, "wait": "off", "tries": 0}
    assert written(keys, Sample(1, tries=2)) == {"need": 1, "wait": "off", "some": "1s", "tries": 2}
    assert written(keys, Sample(1, 2.0, (3.0,), True, 60.0)) == {
        "need": 1,
        "wait": "2s",
        "names": ["3s"],
        "more": True,
        "extra": "1m",
        "some": "1s",
        "tries": 0,
    }


def test_a_value_in_a_line() -> None:
    keys = keys_of(Sample)
    assert keys["more"].brief(True) == "true"
    assert keys["names"].brief((1.0, 60.0)) == "1s, 1m"
    assert keys["names"].brief(()) == "any"
    assert keys["wait"].brief(None) == "off"
    assert keys["extra"].brief(None) == "none"


@pytest.mark.parametrize(
    ("spec", "cls"),
    [(RouteSpec, Route), (UpstreamSpec, Upstream), (AuthorizeSpec, Authorize), (HookSpec, HookSettings)],
)
def test_what_a_table_shares_with_what_is_made_of_it_is_the_same_there(
    spec: type[AttrsInstance], cls: type[AttrsInstance]
) -> None:
    fields, types = attrs.fields_dict(cls), get_type_hints(cls)
    same = [name for name in attrs.fields_dict(spec) if name in fields and name not in CONVERTED]
    assert len(same) > 1
    for name in same:
        assert get_type_hints(spec)[name] == types[name], name
        assert name == "name" or attrs.fields_dict(spec)[name].default == fields[name].default, name


# `shared` would drop a key that is declared, read and then in no route.
def test_every_key_of_a_route_is_in_the_route() -> None:
    assert set(attrs.fields_dict(RouteSpec)) <= attrs.fields_dict(Route).keys() | CONVERTED | PATTERN


def test_shared_carries_over_by_name() -> None:
    @frozen
    class Other:
        wait: float | None = None
        elsewhere: int = 0

    assert shared(Sample(1, 2.0), Other) == {"wait": 2.0}
    assert shared(Other(3.0), Sample) == {"wait": 3.0}


def test_no_field_of_a_table_lacks_its_key() -> None:
    for name, reader in READERS.items():
        assert list(reader.keys) == list(attrs.fields_dict(reader.cls)), name


@pytest.mark.parametrize("name", KEYS)
def test_every_key_has_a_short_sentence_for_users(name: str) -> None:
    doc = KEYS[name].doc
    assert doc.endswith(".")
    assert len(doc) < 220
    assert "|" not in doc  # it goes into a table
    assert doc.isprintable()
