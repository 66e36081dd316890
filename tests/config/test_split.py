from __future__ import annotations

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from splicer.config.routes import spec_of
from splicer.config.split import HASH_ON, UPSTREAM
from splicer.patterns import HashOn
from tests.config.test_routes import P, R, X, faults, route


def test_a_split() -> None:
    made = route(X.replace("upstream = 'any'", "upstream = { pod = 95, any = 5 }\nhash_on = 'capture:pod'"))
    assert made.split is not None
    assert [(upstream.name, weight) for upstream, weight in made.split.shares] == [("pod", 95), ("any", 5)]
    assert made.split.hash_on == HashOn("capture", "pod")
    assert made.upstream is made.split.shares[0][0]
    assert [upstream.name for upstream in made.upstreams] == ["pod", "any"]
    spec = spec_of(made)
    assert (spec.upstream, spec.hash_on) == ((("pod", 95), ("any", 5)), HashOn("capture", "pod"))


def test_one_upstream_is_no_split() -> None:
    made = route(P)
    assert made.split is None
    assert made.upstreams == (made.upstream,)
    assert route(R).upstreams == ()


def test_a_table_of_one_keeps_its_form() -> None:
    made = route(P.replace('"any"', "{ any = 3 }"))
    assert made.split is not None
    assert spec_of(made).upstream == (("any", 3),)


@pytest.mark.parametrize("text", ["client", "header:x-a", "query:Á b", "cookie:sid", "capture:pod", "query:a:b"])
def test_what_decides(text: str) -> None:
    assert str(HASH_ON.parse(text)) == text


def test_header_names_have_no_case() -> None:
    assert HASH_ON.parse("header:X-A") == HashOn("header", "x-a")
    assert HASH_ON.parse("cookie:Sid") == HashOn("cookie", "Sid")


def test_a_split_in_the_file_s_notation() -> None:
    for value in ("a", {"a": 1, "b": 0}):
        assert UPSTREAM.format(UPSTREAM.parse(value)) == value


def test_the_schema_knows_that_weights_must_not_add_up_to_0() -> None:
    schema = jsonschema.Draft7Validator(UPSTREAM.schema)
    assert not schema.is_valid({"a": 0, "b": 0})
    assert schema.is_valid({"a": 0, "b": 1})
    assert schema.is_valid({"a": "${WEIGHT:-0}"})


WAYS = '"client", "header:NAME", "query:NAME", "cookie:NAME", "capture:NAME"'


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (P.replace('"any"', "{ any = 95, anny = 5 }"), ['upstream: unknown upstream "anny"; did you mean "any"?']),
        (P.replace('"any"', "{ any = 1, broken = 1 }"), []),
        (P.replace('"any"', "{ any = 0 }"),
         ["upstream: weights add up to 0, and no request could go anywhere; give one a weight"]),
        (P.replace('"any"', "{}"),
         ["upstream: weights add up to 0, and no request could go anywhere; give one a weight"]),
        (P.replace('"any"', "{ any = -1, pod = 1000001 }"),
         ["upstream.any: must be between 0 and 1000000, not -1",
          "upstream.pod: must be between 0 and 1000000, not 1000001"]),
        (P.replace('"any"', "{ any = 0.5 }"), ["upstream.any: must be an integer, not 0.5"]),
        (P.replace('"any"', '["any"]'),
         ["upstream: must be a string, or a table such as { stable = 95, canary = 5 }, not a list"]),
        (P.replace('"any"', "{ any = 1, pod = 1 }"),
         ["upstream: unknown capture {pod} in {pod}.svc; a prefix has no captures, a regex has"]),
        (P + 'hash_on = "client"', ["hash_on: needs several upstreams; write upstream = { any = 95, canary = 5 }"]),
        (R + 'hash_on = "client"', ["hash_on: goes only with upstream"]),
        (P.replace('"any"', "1") + 'hash_on = "client"',
         ["upstream: must be a string, or a table such as { stable = 95, canary = 5 }, not 1"]),
        (X.replace("'any'", "{ any = 1 }") + "hash_on = 'capture:pd'",
         ["hash_on: unknown capture {pd}; did you mean {pod}?"]),
        (P.replace('"any"', "{ any = 1 }") + 'hash_on = "capture:pod"',
         ["hash_on: unknown capture {pod}; a prefix has no captures, a regex has"]),
        *((P.replace('"any"', "{ any = 1 }") + f'hash_on = "{word}"',
           [f'hash_on: "{word}" names no part of a request; write {WAYS}'])
          for word in ("", "header", "Client", "client:x", "body:x")),
        (P.replace('"any"', "{ any = 1 }") + 'hash_on = "header:a b"', ['hash_on: "a b" is no name of a header']),
        (P.replace('"any"', "{ any = 1 }") + 'hash_on = "cookie:"', ['hash_on: "" is no name of a cookie']),
        (P.replace('"any"', "{ any = 1 }") + 'hash_on = "query:"', ['hash_on: "" is no name of a query']),
        (X.replace("'any'", "{ any = 1 }") + "hash_on = 'capture:{pod}'",
         ['hash_on: "{pod}" is no name of a capture']),
    ],
)  # fmt: skip
def test_faults(keys: str, expected: list[str]) -> None:
    assert faults(keys) == expected
