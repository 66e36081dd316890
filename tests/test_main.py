"""How a command begins: signals wait until somebody knows what to do about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_LOOK_AT_IMPORTS = """
import signal, sys, types
cli = types.ModuleType("splicer.cli.app")
cli.main = lambda: print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "typer" in sys.modules)
sys.modules["splicer.cli.app"] = cli
from splicer.__main__ import main
main()
"""


def test_signals_are_blocked_before_the_rest_is_imported() -> None:
    ran = subprocess.run([sys.executable, "-c", _LOOK_AT_IMPORTS], capture_output=True, text=True, check=True)
    blocked, typer = ran.stdout.rsplit(maxsplit=1)
    assert "SIGTERM" in blocked
    assert "SIGHUP" in blocked
    assert typer == "False"


def test_a_command_that_runs_no_edge_is_ended_by_them(tmp_path: Path) -> None:
    config = tmp_path / "routing.toml"
    os.mkfifo(config)
    command = [sys.executable, "-m", "splicer", "check", "-c", str(config)]
    with subprocess.Popen(command) as process, config.open("w"):  # it is open as soon as it is read
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
