"""Whether the C extension is used: the environment says so, and both kinds of objects have the same fields."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from splicer.relay import plain_state, state

_TELL = """
from splicer.relay.state import MOVER, NATIVE
from splicer.relay.tunnel import Leg
print(NATIVE, MOVER, Leg.__base__.__module__)
"""
_HIDE = "import sys; sys.modules['splicer.relay._mover'] = None; "

needs_extension = pytest.mark.skipif(not state.NATIVE, reason="the C extension is not built: there was no compiler")


def _told(program: str, value: str | None) -> subprocess.CompletedProcess[str]:
    environ = {name: held for name, held in os.environ.items() if name != "SPLICER_NATIVE"}
    if value is not None:
        environ["SPLICER_NATIVE"] = value
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=root, capture_output=True, text=True, check=False, timeout=60
    )


@needs_extension
@pytest.mark.parametrize("value", [None, "", "1"])
def test_it_is_used_where_it_is_there(value: str | None) -> None:
    assert _told(_TELL, value).stdout.split() == ["True", "native", "splicer.relay._mover"]


def test_zero_switches_it_off() -> None:
    assert _told(_TELL, "0").stdout.split() == ["False", "python", "splicer.relay.plain_state"]


def test_without_it_python_moves_the_bytes() -> None:
    assert _told(_HIDE + _TELL, None).stdout.split() == ["False", "python", "splicer.relay.plain_state"]


def test_who_must_have_it_is_told_what_to_do() -> None:
    told = _told(_HIDE + _TELL, "1")
    assert told.returncode
    assert "SPLICER_NATIVE=1, but the C extension can't be loaded" in told.stderr
    assert "with a C compiler, or unset SPLICER_NATIVE" in told.stderr


def test_another_value_is_a_fault() -> None:
    told = _told(_TELL, "yes")
    assert told.returncode
    assert "SPLICER_NATIVE='yes': must be 0" in told.stderr


@needs_extension
@pytest.mark.parametrize(
    ("native", "plain"),
    [
        (state.PipeState, plain_state.PipeState),
        (state.TunnelState, plain_state.TunnelState),
        (state.LegState, plain_state.LegState),
    ],
)
def test_both_have_the_same_fields(native: type, plain: type) -> None:
    assert {name for name in vars(native) if not name.startswith("_")} == set(plain.__slots__)  # type: ignore[attr-defined]


def test_there_is_no_engine_without_it() -> None:
    with pytest.raises(RuntimeError, match="not in use"):
        plain_state.Engine()
