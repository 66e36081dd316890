from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.config.environment import FromEnvironment, Unresolved, expand, expand_all

ENVIRON = {
    "HOST": "10.0.0.10",
    "EMPTY": "",
    "_x1": "y",
    "TOML": '"]\nworkers = 9',
    "REFERENCE": "${HOST}",
    "RAW": "\udcff",
}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain $ {text}", "plain $ {text}"),
        ("${HOST}:53", "10.0.0.10:53"),
        ("${HOST}${_x1}", "10.0.0.10y"),
        ("${NONE:-34.118.224.10}", "34.118.224.10"),
        ("${HOST:-34.118.224.10}", "10.0.0.10"),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-}", ""),
        ("a${EMPTY}b", "ab"),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("${TOML}", '"]\nworkers = 9'),
        ("${REFERENCE}", "${HOST}"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, ENVIRON) == expanded
    assert not isinstance(expand(text, ENVIRON), Unresolved)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${NONE}", "the environment variable NONE is not set; set it or write a default: ${NONE:-...}"),
        ("x${HOST", 'x${HOST has a "${" that is no reference; write ${NAME}, or $${ to mean "${"'),
        ("${1}", '${1} has a "${" that is no reference; write ${NAME}, or $${ to mean "${"'),
        ("${HOST-x}", '${HOST-x} has a "${" that is no reference; write ${NAME}, or $${ to mean "${"'),
        ("${RAW}", "the environment variable RAW is not valid UTF-8"),
    ],
)
def test_what_can_not_be_filled_in_says_why(text: str, fault: str) -> None:
    unresolved = expand(text, ENVIRON)
    assert isinstance(unresolved, Unresolved)
    assert unresolved == fault


def test_only_one_whole_reference_may_stand_for_a_number() -> None:
    assert isinstance(expand("${HOST}", ENVIRON), FromEnvironment)
    assert isinstance(expand("${NONE:-1}", ENVIRON), FromEnvironment)
    for text in ("1", "$${", "${HOST}1", "$${HOST}", "${EMPTY}${HOST}"):
        assert not isinstance(expand(text, ENVIRON), FromEnvironment)


def test_every_string_within_a_value_but_no_key() -> None:
    value = {"${HOST}": ["${HOST}", {"a": "${_x1}"}, 1, True], "b": 2.5}
    assert expand_all(value, ENVIRON) == {"${HOST}": ["10.0.0.10", {"a": "y"}, 1, True], "b": 2.5}


def test_a_value_may_nest_without_end() -> None:
    value: object = "${HOST}"
    for _ in range(5000):
        value = {"a": value}
    assert expand_all(value, ENVIRON)


@given(st.text("${}:-AB\n", max_size=12), st.dictionaries(st.sampled_from(["A", "B"]), st.text("${}A", max_size=4)))
def test_any_text_is_filled_in_or_says_why(text: str, environ: dict[str, str]) -> None:
    expanded = expand(text, environ)
    if "${" not in text:
        assert expanded == text
    assert expand(text.replace("${", "$${"), environ) == text
