"""The C extension compiles without a warning, with each compiler that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_STRICT = ("-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_COMPILERS = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    "zig-x86_64": [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-gnu.2.17"],
    "zig-aarch64": [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.17"],
}
# zig first compiles what stands in for the C library.
_names = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("zig")) for name in _COMPILERS]
)


def _compile(name: str, source: Path, to: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = _COMPILERS[name]
    if shutil.which(command[0]) is None or (name.startswith("zig") and find_spec("ziglang") is None):
        pytest.skip(f"{name.partition('-')[0]} is not installed")
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip(f"Python's headers are not in {include}")
    return subprocess.run(
        [*command, *_STRICT, *more, f"-I{include}", str(source), "-o", str(to)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("more", [[], ["-DSPLICER_STEPS"]], ids=["shipped", "for stepped tests"])
@_names
def test_it_compiles_without_a_warning(name: str, more: list[str], tmp_path: Path) -> None:
    done = _compile(name, ROOT / "splicer/relay/_mover.c", tmp_path / "_mover.abi3.so", *more)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@_names
def test_a_warning_is_an_error(name: str, tmp_path: Path) -> None:
    source = tmp_path / "warned.c"
    source.write_text("int narrow(long wide);\nint narrow(long wide) { return wide; }\n")
    done = _compile(name, source, tmp_path / "warned.so")
    assert done.returncode
    assert "conversion" in done.stderr or "implicit" in done.stderr
