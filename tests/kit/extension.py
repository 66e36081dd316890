"""Builds of the C extension that only tests use."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

NAME = "splicer.relay._mover"
DIRECTORY = Path(__file__).resolve().parents[2] / "splicer/relay"


def build(directory: Path, *flags: str, change: Callable[[str], str] = str) -> Path:
    """Compile the extension, or skip the test where that can't be done.

    Args:
        directory: a directory for the library.
        flags: more flags of the compiler.
        change: changes the source before: that of `_mover_moves.h`.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    include = sysconfig.get_path("include")
    if compiler is None or not (Path(include) / "Python.h").exists():
        pytest.skip("the C extension can't be built: no compiler, or no headers of Python")
    source, library = directory / "_mover.c", directory / "_mover.abi3.so"
    for name in ("_mover.c", "_mover_objects.h", "_mover_moves.h", "_mover_waits.h"):
        text = (DIRECTORY / name).read_text()
        (directory / name).write_text(change(text) if name == "_mover_moves.h" else text)
    command = [compiler, "-std=c11", "-O1", "-fPIC", "-shared", f"-I{include}", *flags, str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def load(library: str) -> None:
    """Use this build in this process, in place of the installed one."""
    spec = importlib.util.spec_from_file_location(NAME, library, loader=ExtensionFileLoader(NAME, library))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
