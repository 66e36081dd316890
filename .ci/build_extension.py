"""A build hook of hatchling: compiles `splicer/relay/_mover.c` where there is a C compiler.

Without one, the wheel is pure Python, and frames are moved by `mover.py`. ``SPLICER_NATIVE=0``: never compile; ``1``:
fail without the extension. ``CC`` names another compiler, and ``SPLICER_PLATFORM`` the platform tag of its wheel.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = "splicer/relay/_mover.c"
_EXTENSION = "splicer/relay/_mover.abi3.so"
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-missing-field-initializers")


class ExtensionBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is the builder's configuration
    """Called by hatchling for each wheel, and for an editable installation."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what is in the wheel and which Pythons it is for."""
        wanted = os.environ.get("SPLICER_NATIVE", "")
        if self.target_name != "wheel" or wanted == "0":
            return
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        include = sysconfig.get_path("include")
        try:
            subprocess.run(  # noqa: S603 - the compiler that the user has named
                [*compiler, *FLAGS, f"-I{include}", _SOURCE, "-o", _EXTENSION],
                check=True,
                cwd=self.root,
                stdout=sys.stderr,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "1":
                raise
            sys.stderr.write(f"splicer: no C extension ({error}): frames are moved by Python\n")
            return
        platform = os.environ.get("SPLICER_PLATFORM") or sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["force_include"][str(Path(self.root) / _EXTENSION)] = _EXTENSION
