"""The law of all kinds: the schema takes what the parser takes, and no value of another type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.config.authorize import AUTHORIZER
from splicer.config.environment import expand_all
from splicer.config.error_pages import ERROR_PAGE
from splicer.config.health_check import HEALTH_TABLE
from splicer.config.hooks import HOOK
from splicer.config.keys import Key
from splicer.config.kinds import BOOLEAN, DURATION, Kind, choice, integer, list_of, size, unless
from splicer.config.listener import LISTENER
from splicer.config.outlier_detection import OUTLIER_TABLE
from splicer.config.passthrough import PASSTHROUGH
from splicer.config.rate_limit import TABLE
from splicer.config.reader import Reader
from splicer.config.redirect import REDIRECT_TABLE
from splicer.config.respond import ANSWER
from splicer.config.routes import ROUTE
from splicer.config.sections import SECTIONS
from splicer.config.tracing import TRACING
from splicer.config.upstreams import UPSTREAM
from tests.config.documents import VALUES
from tests.kit.laws import examples

READERS: Mapping[str, Reader[Any]] = {
    **SECTIONS,
    "listener": LISTENER,
    "upstreams": UPSTREAM,
    "outlier_detection": OUTLIER_TABLE,
    "health_check": HEALTH_TABLE,
    "routes": ROUTE,
    "respond": ANSWER,
    "rate_limit": TABLE,
    "authorize": AUTHORIZER,
    "hooks": HOOK,
    "redirect": REDIRECT_TABLE,
    "errors": ERROR_PAGE,
    "passthrough": PASSTHROUGH,
    "tracing": TRACING,
}
KEYS = {f"{table}.{name}": key for table, reader in READERS.items() for name, key in reader.keys.items()}
EVERY_KEY = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)

NOT_STRINGS = st.recursive(
    st.booleans()
    | st.integers(-1, 700)
    | st.integers(1 - 2**63, 2**63 - 1)  # TOML has no others, which the parser refuses and the schema need not know
    | st.floats(allow_nan=False).filter(lambda x: not x.is_integer())  # no schema can speak of NaN
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "a"]), inner, max_size=2),
    max_leaves=4,
)


def takes(kind: Kind[Any], value: Any, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the parser does; a fault of its own is a `ValueError`, or a group of them."""
    try:
        kind.parse(expand_all(value, environ or {}))
    except (ValueError, ExceptionGroup):
        return False
    return True


def is_valid(kind: Kind[Any], value: Any) -> bool:
    return bool(jsonschema.Draft7Validator(kind.schema).is_valid(value))


@EVERY_KEY
@settings(max_examples=examples(30), deadline=None)
@given(value=VALUES)
def test_the_schema_takes_what_the_parser_takes(key: Key, value: Any) -> None:
    assert is_valid(key.kind, value) or not takes(key.kind, value, {"A": "1", "B": "10s"})


@EVERY_KEY
@settings(max_examples=examples(30), deadline=None)
@given(value=NOT_STRINGS)
def test_of_what_is_no_string_both_take_the_same(key: Key, value: Any) -> None:
    assert is_valid(key.kind, value) == takes(key.kind, value)


@pytest.mark.parametrize(("table", "reader"), READERS.items(), ids=READERS)
def test_every_default_is_taken_by_both_and_stays_the_same(table: str, reader: Reader[Any]) -> None:
    for name, default in reader.defaults().items():
        kind = reader.keys[name].kind
        assert is_valid(kind, default), name
        assert kind.write(kind.parse(default)) == default


SIZES = size(1024, 65536)
WORKERS = unless("auto", "auto", integer(1, 128))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DURATION, "1h30m"),
        (DURATION, "never"),
        (DURATION, "${IDLE:-5}m"),
        (SIZES, 2048),
        (SIZES, "32KiB"),
        (SIZES, "2KB"),
        (SIZES, "${SIZE}"),
        (WORKERS, 3),
        (WORKERS, "auto"),
        (WORKERS, "${WORKERS:-3}"),
        (BOOLEAN, True),
        (BOOLEAN, "${YES:-true}"),
        (choice("json", "console"), "console"),
        (choice("json", "console"), "${FORMAT}"),
        (list_of(DURATION, "durations"), []),
        *((key.kind, "${ANYTHING}") for key in (SECTIONS["server"].keys["listen"], UPSTREAM.keys["address"])),
    ],
)
def test_the_schema_takes(kind: Kind[Any], value: Any) -> None:
    assert is_valid(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DURATION, ""),
        (DURATION, "3 s"),
        (DURATION, 3),
        (SIZES, 1023),
        (SIZES, 65537),
        (SIZES, "32kib"),
        (WORKERS, 0),
        (WORKERS, "atuo"),
        (WORKERS, 1.5),
        (BOOLEAN, "true"),
        (choice("json", "console"), "jso"),
        (list_of(DURATION, "durations", empty="why"), []),
        (list_of(DURATION, "durations"), "1s"),
        (DURATION, date(2026, 1, 1)),
    ],
)
def test_the_schema_does_not_take(kind: Kind[Any], value: Any) -> None:
    assert not is_valid(kind, value)


def test_words_for_the_documents() -> None:
    assert integer(1).words == "integer, 1 or more"
    assert WORKERS.words == 'integer, 1 to 128, or `"auto"`'
    assert SIZES.words == "size, 1KiB to 64KiB"
    assert choice("a", "b", "c").words == '`"a"`, `"b"` or `"c"`'
    assert list_of(DURATION, "durations").words == "list of durations"


def test_what_no_word_of_the_file_says_is_left_out() -> None:
    assert DURATION.write(None) is None
    assert unless("off", None, DURATION).write(None) == "off"
    assert list_of(DURATION, "durations", empty="why").write(()) is None
    assert list_of(DURATION, "durations").write(()) == []
