"""What the environment says of the C extension."""

from __future__ import annotations

import pytest

from splicer.relay.choice import UnfitChoice, missing, wanted


@pytest.mark.parametrize(
    ("environ", "said"),
    [({}, None), ({"SPLICER_NATIVE": ""}, None), ({"SPLICER_NATIVE": "0"}, False), ({"SPLICER_NATIVE": "1"}, True)],
)
def test_it_is_used_never_or_always_or_where_it_is(environ: dict[str, str], said: bool | None) -> None:
    assert wanted(environ) is said


@pytest.mark.parametrize("value", ["yes", "2", " 1", "true", "01", "\x1b[31m"])
def test_another_value_is_a_fault_of_one_printable_line(value: str) -> None:
    with pytest.raises(UnfitChoice) as caught:
        wanted({"SPLICER_NATIVE": value})
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(f"SPLICER_NATIVE={value!r}: must be 0 ")


def test_who_lacks_it_is_told_why_and_what_to_do() -> None:
    fault = str(missing(ImportError("no such file")))
    assert "(no such file)" in fault
    assert "unset SPLICER_NATIVE" in fault
