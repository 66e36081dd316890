"""Options that don't go together."""

from __future__ import annotations

import pytest
import typer

from splicer.cli.options import refuse


@pytest.mark.parametrize("value", ["", "x", True, 0.5])
def test_an_option_that_was_given_is_refused(value: object) -> None:
    with pytest.raises(typer.BadParameter, match="goes nowhere") as refused:
        refuse({"--one": None, "--two": value}, "goes nowhere")
    assert refused.value.param_hint == "--two"


def test_one_that_was_not_given_is_not() -> None:
    refuse({"--one": None, "--two": False}, "goes nowhere")
