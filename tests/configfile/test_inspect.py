"""What the child that reads a routing.toml tells the supervisor, as a function and as a process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from splicer.config.addresses import ListenAddress
from splicer.config.listener import EVERYBODY, Listener, from_text
from splicer.configfile import inspect as module
from splicer.configfile.inspect import inspect
from splicer.configfile.signature import signature_of
from splicer.ipc.facts import ConfigSummary, Faults, Reading
from splicer.ipc.wire import answered, text_file

TEXT = """
[server]
listen = ["127.0.0.1:8080", "[::1]:8081"]
admin = "127.0.0.1:9901"
workers = 3
[deadlines]
drain = "90s"
[log]
format = "console"
[[routes]]
name = "all"
prefix = "/"
respond = { status = 200 }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routing.toml"
    path.write_text(TEXT)
    return path


def test_all_that_the_supervisor_needs(path: Path) -> None:
    assert inspect(path, None) == ConfigSummary(
        text=TEXT,
        read=signature_of(path.stat()),
        listeners={
            "listen": (("127.0.0.1", 8080), ("::1", 8081)),
            "admin": (("127.0.0.1", 9901),),
            "metrics": (),
        },
        workers=3,
        drain=90.0,
        format="console",
    )


def _summary(path: Path, old: str | None = None) -> ConfigSummary:
    found = inspect(path, old)
    assert isinstance(found, ConfigSummary)
    return found


def test_as_many_workers_as_cpus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cpus", lambda: 5)
    path.write_text(TEXT.replace("workers = 3", 'workers = "auto"'))
    assert _summary(path).workers == 5


def test_a_number_of_cpus_that_is_none_is_a_fault(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLICER_CPUS", "two")
    path.write_text(TEXT.replace("workers = 3", 'workers = "auto"'))
    found = inspect(path, None)
    assert isinstance(found, Faults)
    [fault] = found.faults
    assert fault == f'{path}: [server] workers = "auto": SPLICER_CPUS=two: must be a whole number of CPUs, at least 1'


def test_what_is_off_has_no_address(path: Path) -> None:
    path.write_text(TEXT.replace('admin = "127.0.0.1:9901"', 'admin = "off"'))
    assert _summary(path).listeners["admin"] == ()


def test_workers_are_told_what_holds_at_an_address_beside_it(path: Path) -> None:
    assert _summary(path).rules == {}
    table = '{ address = ":8081", proxy_protocol = "required", vendor = "aws" }'
    path.write_text(TEXT.replace('"[::1]:8081"', table))
    [(address, text)] = _summary(path).rules.items()
    assert address == "0.0.0.0:8081"
    assert from_text(text) == Listener(ListenAddress("0.0.0.0", 8081), EVERYBODY, "aws")


def test_warnings_are_passed_on(path: Path) -> None:
    path.write_text(TEXT + '[[routes]]\nname = "late"\npath = "/late"\nrespond = { status = 200 }\n')
    [warning] = _summary(path).warnings
    assert "late" in warning


@pytest.mark.parametrize(
    ("old", "changed", "restart"),
    [
        (TEXT, [], []),
        (TEXT.replace("status = 200", "status = 204"), ["all"], []),
        (TEXT.replace("90s", "60s"), ["drain"], []),
        (TEXT.replace("workers = 3", "workers = 2"), ["workers"], ["server.workers"]),
        (TEXT.replace(":8080", ":8088"), ["listen"], ["server.listen"]),
        (
            TEXT.replace('"[::1]:8081"', '{ address = "[::1]:8081", proxy_protocol = "required" }'),
            ["listen", "proxy_protocol = required"],
            ["server.listen"],
        ),
    ],
)
def test_what_has_changed_against_the_text_in_force(
    path: Path, old: str, changed: list[str], restart: list[str]
) -> None:
    summary = _summary(path, old)
    assert all(word in " ".join(summary.changes) for word in changed)
    assert bool(summary.changes) == bool(changed)
    assert list(summary.needs_restart) == restart


def test_faults_are_all_there_is_to_say(path: Path) -> None:
    path.write_text(TEXT.replace("90s", "soon") + "[srver]\n")
    found = inspect(path, TEXT)
    assert isinstance(found, Faults)
    assert found.read == signature_of(path.stat())
    assert len(found.faults) == 2
    assert all(str(path) in fault for fault in found.faults)


def test_a_file_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    fault = f"{tmp_path / 'none'}: No such file or directory"
    assert inspect(tmp_path / "none", None) == Faults((fault,), None)


# ---- the child ----


def run(path: Path, *more: str, **options: Any) -> ConfigSummary:
    command = [sys.executable, "-m", "splicer.configfile.inspect", str(path), *more]
    done = subprocess.run(command, capture_output=True, check=True, **options)
    assert done.stderr == b""
    found = answered(Reading, done.stdout)
    assert isinstance(found, ConfigSummary)
    return found


def test_the_child_prints_one_message(path: Path) -> None:
    path.write_text(TEXT.replace("90s", "never") + "# ü")
    summary = run(path)
    assert (summary.drain, summary.text[-1]) == (math.inf, "ü")
    assert summary.listeners["listen"] == (("127.0.0.1", 8080), ("::1", 8081))


def test_the_child_is_given_the_text_in_force(path: Path) -> None:
    fd = text_file(TEXT.replace("status = 200", "status = 204"))
    summary = run(path, "--text", str(fd), pass_fds=[fd])
    os.close(fd)
    assert summary.changes
    assert run(path).changes == ()


@pytest.mark.parametrize("child", ["splicer.configfile.inspect", "splicer.supervisor.preflight"])
def test_a_child_whose_supervisor_was_killed_ends_without_a_word(path: Path, child: str) -> None:
    fd = text_file("{}" if child == "splicer.supervisor.preflight" else TEXT)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", child, str(path), "--text", str(fd)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, pass_fds=[fd], check=False)
    os.close(writer)
    os.close(fd)
    assert done.stderr == b""
    assert done.returncode == -signal.SIGPIPE
