"""How a command begins: signals wait until somebody knows what to do about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_LOOK_AT_IMPORTS = """
import signal, sys, types
cli = types.ModuleType("splicer.cli.app")
cli.main = lambda template: print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "typer" in sys.modules)
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


_LOOK_AT_THE_TEMPLATE = """
import os, sys, time, types
cli = types.ModuleType("splicer.cli.app")
def main(template):
    if template is not None:
        words = b""
        for _ in range(1000):  # it may be writing its title just then
            with open(f"/proc/{template.pid}/cmdline", "rb") as file:
                words = file.read()
            if b"splicer.template" in words or b"splicer: template" in words:
                break
            time.sleep(0.005)
        print(b"splicer.template" in words or b"splicer: template" in words, os.fstat(template.control).st_nlink)
    sys.exit(2)
cli.main = main
sys.modules["splicer.cli.app"] = cli
from splicer.__main__ import main
try:
    main()
finally:
    try:
        print(os.wait()[1])
    except ChildProcessError:
        print("no child")
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [(["run"], ["True", "1", "9"]), (["run", "--help"], ["no", "child"]), (["check"], ["no", "child"])],
)
def test_run_has_a_template_that_loads_meanwhile_and_ends_with_a_wrong_command_line(
    words: list[str], told: list[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LOOK_AT_THE_TEMPLATE, *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stdout.split() == told
    assert ran.stderr == ""


def test_a_command_that_runs_no_edge_is_ended_by_them(tmp_path: Path) -> None:
    config = tmp_path / "routing.toml"
    os.mkfifo(config)
    command = [sys.executable, "-m", "splicer", "check", "-c", str(config)]
    with subprocess.Popen(command) as process, config.open("w"):  # it is open as soon as it is read
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
