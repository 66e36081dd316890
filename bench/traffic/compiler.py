"""Compile the part of the load that is in C on the machine where it runs: Python can't keep the pace of 800 calls."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BUILD = Path(__file__).resolve().parents[1] / "build"

_NAMES = ("cc", "gcc", "clang")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-shared", "-fPIC")
_LIBRARIES = ("-lm",)
_TIMEOUT = 60.0  # seconds
_SHOWN = 200  # characters of a compiler's output


class NoLibrary(Exception):
    """The library can't be compiled here; the message has one line."""


# Its name has a hash of the source, so that a changed source is compiled again; it is renamed into place when complete.
def library(source: Path, build: Path = BUILD) -> Path:
    """The shared library of a source; it is compiled if it does not exist.

    Args:
        source: a file in C.
        build: the directory of the libraries.

    Raises:
        NoLibrary: there is no compiler, it fails, or the library can't be stored.
    """
    digest = hashlib.sha256(" ".join(_FLAGS).encode() + source.read_bytes()).hexdigest()[:16]
    made = build / f"{source.stem}-{digest}.so"
    if made.exists():
        return made
    compiler = _compiler()
    try:
        build.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=build) as directory:
            fresh = Path(directory) / made.name
            _run([compiler, *_FLAGS, "-o", str(fresh), str(source), *_LIBRARIES])
            fresh.replace(made)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoLibrary(f"{source.name} can't be compiled: {error}") from None
    return made


def _compiler() -> str:
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else _NAMES:
        if found := shutil.which(name):
            return found
    raise NoLibrary(f"no C compiler ({wanted or ', '.join(_NAMES)}): apt-get install gcc libc6-dev")


def _run(command: list[str]) -> None:
    told = subprocess.run(  # noqa: S603 - the user's own compiler
        command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
    )
    if told.returncode:
        said = " ".join(told.stderr.split())[:_SHOWN]
        raise NoLibrary(f"{Path(command[0]).name} failed ({told.returncode}): {said}")
