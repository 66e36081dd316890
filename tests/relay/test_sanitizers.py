"""The relay's tests with the C extension under gcc's sanitizers: no access outside an object, no undefined behaviour.

They run in a copy of the package, whose extension is another: what is installed here stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FLAGS = ("-std=c11", "-O1", "-g", "-fno-omit-frame-pointer", "-fPIC", "-shared")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_SOURCE = "splicer/relay/_mover.c"

# The table of legs has a place less than descriptors.
_RIGHT, _WRONG = "size_t count = ((size_t)fd / 1024 + 1) * 1024;", "size_t count = (size_t)fd;"

# These measure memory. The sanitizer keeps for a while what was freed, and the kernel gives a slow reader more.
_WITHOUT = "not memory and not slow_reader_does_not_hold_up"

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its tests, without an extension."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    if not Path(_library()).is_absolute():
        pytest.skip("gcc has no libasan")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("Python's headers are not installed")
    for name in ("splicer", "tests"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "*.so")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _library() -> str:
    told = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def _compile(tree: Path) -> None:
    include = sysconfig.get_path("include")
    built = tree / "splicer/relay/_mover.abi3.so"
    command = ["gcc", *_FLAGS, *_SANITIZERS, f"-I{include}", str(tree / _SOURCE), "-o", str(built)]
    subprocess.run(command, check=True, timeout=120)


# Python's own allocator would hide what is outside an object: a neighbour's memory is no less valid.
def _python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    settings = {
        "LD_PRELOAD": _library(),
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={tree}/report",  # an interpreter leaves much behind at its end
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={tree}/report",
        "PYTHONMALLOC": "malloc",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPLICER_NATIVE": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**known, **settings},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def _reports(tree: Path) -> str:
    """What the sanitizers have written: pytest's own output has it not, for the process ends at once."""
    return "".join(report.read_text() for report in tree.glob("report.*"))


def _tested(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    plugins = ("-p", "no:xdist", "-p", "no:cacheprovider")
    return _python(tree, "-m", "pytest", "-q", *plugins, "-m", "not slow", *options, "tests/relay")


def test_the_relays_tests_find_nothing(tree: Path) -> None:
    _compile(tree)
    loaded = _python(tree, "-c", "from splicer.relay import _mover; print(_mover.__file__)")
    assert loaded.stdout.strip() == str(tree / "splicer/relay/_mover.abi3.so"), loaded.stderr
    done = _tested(tree, "-k", f"native and {_WITHOUT}")
    assert (done.returncode, _reports(tree)) == (0, ""), done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


def test_a_bug_is_found(tree: Path) -> None:
    source = (tree / _SOURCE).read_text()
    assert source.count(_RIGHT) == 1
    (tree / _SOURCE).write_text(source.replace(_RIGHT, _WRONG))
    _compile(tree)
    done = _tested(tree, "-k", "native and test_directions")
    assert done.returncode
    assert "ERROR: AddressSanitizer: heap-buffer-overflow" in _reports(tree)
    assert "_mover.c" in _reports(tree)
