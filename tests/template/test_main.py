"""The template as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from splicer.ipc import wire
from splicer.ipc.arguments import TemplateArguments
from splicer.ipc.codec import to_json
from splicer.ipc.forking import Loaded, TemplateReport
from splicer.relay.choice import VARIABLE
from splicer.supervisor import launch
from splicer.vault.protocol import channel

_CHECKOUT = Path(launch.__file__).resolve().parents[2]


@pytest.mark.parametrize("gone", [True, False])
def test_it_says_nothing_when_its_supervisor_is_gone(*, gone: bool) -> None:
    """... while it loads: a command with a fault has ended, and its fault is all that is on stderr."""
    ours, its = channel()
    command = [sys.executable, "-m", launch.TEMPLATE, to_json(TemplateArguments(its.fileno(), wire.VERSION))]
    with (
        ours,
        subprocess.Popen(
            command, pass_fds=[its.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=_CHECKOUT
        ) as template,
    ):
        its.close()
        if gone:
            ours.close()
        else:
            os.set_blocking(ours.fileno(), True)
            heard = wire.receive(ours, TemplateReport)
            assert heard is not None
            assert heard.message == Loaded()
            ours.close()
        told, _ = template.communicate(timeout=60)
    assert (template.returncode, told) == (0, b"")


def test_it_leaves_the_words_on_a_mover_that_is_not_there_to_the_command() -> None:
    """... whose one line would stand beside a traceback otherwise."""
    ours, its = channel()
    command = [sys.executable, "-m", launch.TEMPLATE, to_json(TemplateArguments(its.fileno(), wire.VERSION))]
    with ours, its:
        done = subprocess.run(
            command,
            pass_fds=[its.fileno()],
            capture_output=True,
            cwd=_CHECKOUT,
            env={**os.environ, VARIABLE: "2"},
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")
