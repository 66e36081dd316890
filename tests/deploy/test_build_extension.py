"""The build hook: a wheel has the C extension where there is a compiler, and is pure Python elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = "splicer/relay/_mover.abi3.so"
_BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".ci/build_extension.py")
_NO_COMPILER = "/nonexistent/cc"
_PURE = "splicer-0.1.0-py3-none-any.whl"

# Writes its arguments into the file that a compiler would write: the hook's own tests need no compiler.
_COMPILER = """#!/bin/sh
all=$*
while [ "$1" != -o ]; do shift; done
echo "$all" > "$2"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a wheel is made from, without an extension."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "splicer", tree / "splicer", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in _BUILT_FROM:
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    compiler = tmp_path / "cc"
    compiler.write_text(_COMPILER)
    compiler.chmod(0o755)
    return tree


def built(tree: Path, kind: str = "wheel", **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in {"CC", "SPLICER_NATIVE"}}
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", "dist"],
        cwd=tree,
        env={**environ, "CC": f"{tree.parent}/cc -some", **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def only(tree: Path) -> Path:
    """The only thing that was built."""
    (found,) = (tree / "dist").iterdir()
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize("native", ["", "1"])
def test_a_wheel_has_the_extension_and_the_tag_of_its_stable_abi(tree: Path, native: str) -> None:
    done = built(tree, SPLICER_NATIVE=native)
    assert done.returncode == 0, done.stderr
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert only(tree).name == f"splicer-0.1.0-cp311-abi3-{platform}.whl"
    found = contents(only(tree))
    words = found[EXTENSION].decode().split()
    assert words[0] == "-some"
    assert {"-Wall", "-Wextra", "-Wconversion", "-Wshadow", "splicer/relay/_mover.c"} <= set(words)
    assert not [name for name in found if name.endswith((".c", ".h"))]
    assert not list(tree.rglob("*.so")), "a wheel leaves nothing in the checkout, where another machine's would be used"


def test_the_platform_of_another_machine_can_be_named(tree: Path) -> None:
    assert built(tree, SPLICER_PLATFORM="manylinux2014_aarch64").returncode == 0
    assert only(tree).name == "splicer-0.1.0-cp311-abi3-manylinux2014_aarch64.whl"
    assert b"Tag: cp311-abi3-manylinux2014_aarch64" in contents(only(tree))["splicer-0.1.0.dist-info/WHEEL"]


def test_without_a_compiler_it_is_pure_and_says_so(tree: Path) -> None:
    done = built(tree, CC=_NO_COMPILER)
    assert done.returncode == 0, done.stderr
    assert "splicer: no C extension" in done.stderr
    assert _NO_COMPILER in done.stderr
    assert "frames are moved by Python" in done.stderr
    assert only(tree).name == _PURE


@pytest.mark.parametrize("compiler", ["cc", _NO_COMPILER])
def test_zero_builds_a_pure_wheel_even_beside_an_extension(tree: Path, compiler: str) -> None:
    (tree / EXTENSION).write_bytes(b"of an editable installation")
    done = built(tree, SPLICER_NATIVE="0", CC=compiler)
    assert (done.returncode, "no C extension" in done.stderr) == (0, False)
    assert only(tree).name == _PURE
    found = contents(only(tree))
    assert not [name for name in found if name.endswith((".c", ".h", ".so"))]
    assert {"splicer/relay/mover.py", "splicer/relay/_mover.pyi", "splicer/py.typed"} <= found.keys()
    assert b"Root-Is-Purelib: true" in found["splicer-0.1.0.dist-info/WHEEL"]


@pytest.mark.parametrize("compiler", [_NO_COMPILER, "false"])
def test_who_must_have_it_is_told_in_one_line_what_to_do(tree: Path, compiler: str) -> None:
    done = built(tree, SPLICER_NATIVE="1", CC=compiler)
    assert done.returncode
    (line,) = done.stderr.splitlines()
    assert line.startswith("splicer: SPLICER_NATIVE=1, but splicer/relay/_mover.c can't be compiled")
    assert line.endswith("name another compiler with CC, or unset SPLICER_NATIVE")
    assert not (tree / "dist").exists() or not list((tree / "dist").iterdir())


def test_another_value_is_a_fault(tree: Path) -> None:
    done = built(tree, SPLICER_NATIVE="yes")
    assert done.returncode
    assert done.stderr.splitlines() == [
        "splicer: SPLICER_NATIVE=yes: must be 0 (never compile) or 1 (fail without the C extension)"
    ]


def editable(tree: Path, **settings: str) -> None:
    """Build what pip makes of `--editable`."""
    make = "from hatchling.build import build_editable; print(build_editable('.'))"
    environ = {name: value for name, value in os.environ.items() if name not in {"CC", "SPLICER_NATIVE"}}
    subprocess.run(
        [sys.executable, "-c", make],
        cwd=tree,
        env={**environ, "CC": f"{tree.parent}/cc", **settings},
        check=True,
        timeout=120,
    )


def test_an_editable_installation_has_it_in_place(tree: Path) -> None:
    editable(tree)
    first = (tree / EXTENSION).stat().st_ino
    held = (tree / EXTENSION).open()
    editable(tree)
    assert (tree / EXTENSION).stat().st_ino != first, "a process that runs goes on with the file that it has mapped"
    held.close()
    assert [path.name for path in (tree / "splicer" / "relay").glob("*.so")] == [Path(EXTENSION).name]
    assert not [path for path in (tree / "splicer" / "relay").iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize("settings", [{"SPLICER_NATIVE": "0"}, {"CC": _NO_COMPILER}])
def test_an_editable_installation_without_it_keeps_no_old_one(tree: Path, settings: dict[str, str]) -> None:
    (tree / EXTENSION).write_bytes(b"of an older source")
    editable(tree, **settings)
    assert not (tree / EXTENSION).exists()


def test_the_source_distribution_has_the_source_and_the_hook(tree: Path) -> None:
    (tree / EXTENSION).write_bytes(b"of an editable installation")
    assert built(tree, "sdist").returncode == 0
    with tarfile.open(only(tree)) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "splicer").rglob("*.[ch]")}
    assert "splicer/relay/_mover.c" in sources
    assert sources | {".ci/build_extension.py", "pyproject.toml"} <= names
    assert EXTENSION not in names
