"""A build hook of hatchling: compiles `splicer/relay/_mover.c` where there is a C compiler.

Without one the wheel is pure Python, and `mover.py` moves the frames. Variables of the environment:

    SPLICER_NATIVE    0: never compile. 1: fail without the extension. Unset: compile if that is possible.
    CC                the compiler, with arguments; by default the one that has compiled Python, or cc.
    SPLICER_PLATFORM  the platform of the wheel's tag, such as manylinux2014_x86_64; by default this machine's.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "splicer/relay/_mover.c"
EXTENSION = "splicer/relay/_mover.abi3.so"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow")
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared", *WARNINGS)
_COMPILE_TIMEOUT = 300  # seconds; ziglang first compiles what stands in for the C library


class ExtensionBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is the builder's configuration
    """Called by hatchling for each wheel, and for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what is in the wheel and which Pythons it is for.

        Args:
            version: "editable": the extension is put beside its source, or an old one is removed from there.
            build_data: what hatchling is told about the wheel.
        """
        if self.target_name != "wheel":
            return
        in_place = Path(self.root, EXTENSION) if version == "editable" else None
        # A file of its own, so that processes that use an old one in place go on with it.
        self._directory = tempfile.TemporaryDirectory(dir=in_place and in_place.parent)
        built = Path(self._directory.name, Path(EXTENSION).name)
        if not self._compiled(built):
            if in_place:
                in_place.unlink(missing_ok=True)
        elif in_place:
            built.replace(in_place)
        else:
            platform = os.environ.get("SPLICER_PLATFORM") or sysconfig.get_platform().replace("-", "_").replace(
                ".", "_"
            )
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"
            build_data["force_include"][str(built)] = EXTENSION

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact: str) -> None:
        """Remove what was compiled: it is in the wheel."""
        if self.target_name == "wheel":
            self._directory.cleanup()

    def _compiled(self, to: Path) -> bool:
        wanted = os.environ.get("SPLICER_NATIVE", "")
        if wanted not in {"", "0", "1"}:
            sys.exit(f"splicer: SPLICER_NATIVE={wanted}: must be 0 (never compile) or 1 (fail without the C extension)")
        if wanted == "0":
            return False
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        command = [*compiler, *FLAGS, f"-I{sysconfig.get_path('include')}", SOURCE, "-o", str(to)]
        try:
            subprocess.run(  # noqa: S603 - the compiler that the user has named
                command, check=True, cwd=self.root, stdout=sys.stderr, timeout=_COMPILE_TIMEOUT
            )
        except (OSError, subprocess.SubprocessError) as error:
            if wanted == "1":
                sys.exit(
                    f"splicer: SPLICER_NATIVE=1, but {SOURCE} can't be compiled: {error}; install gcc and Python's "
                    "headers, name another compiler with CC, or unset SPLICER_NATIVE"
                )
            sys.stderr.write(f"splicer: no C extension ({error}): frames are moved by Python\n")
            return False
        return True
