"""The commands as a person or a script types them: stdout, stderr, exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.admin import Admin, tunnel

TIMEOUT = 30.0  # seconds: for a machine that is busy with other things
# What stdout holds back decides how its end is met.
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def command(admin: Admin, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "splicer", *arguments, "--admin", admin.address]


def splicer(*command: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env={**ENVIRON, **environ}, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_status_and_the_file_that_names_the_address(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    route = '[[routes]]\nname = "all"\nprefix = "/"\nrespond = { status = 200 }\n'
    path.write_text(f'[server]\nadmin = "{admin.address}"\n{route}')
    code, out, err = splicer(sys.executable, "-m", "splicer", "status", "-c", str(path))
    assert (code, err) == (0, "")
    assert "uptime           1d1h1m1s" in out
    code, out, err = splicer(sys.executable, "-m", "splicer", "status", "--json", "-c", str(path))
    assert (code, err) == (0, "")
    assert json.loads(out) == admin.status
    assert out.count("\n") == 1


def test_upstreams(admin: Admin) -> None:
    admin.missing = [2]
    code, out, err = splicer(*command(admin, "upstreams"))
    assert (code, err) == (0, "splicer: worker 2 did not answer: its calls are not counted\n")
    assert [line.split()[:3] for line in out.splitlines()[1:3]] == [
        ["pod", "voice-agent-3", "10.0.0.3:8000"],
        ["pod", "voice-agent-4", "[fd00::4]:8000"],
    ]
    code, out, err = splicer(*command(admin, "upstreams", "--json"))
    assert (code, json.loads(out)) == (0, {"upstreams": admin.upstreams, "missing_workers": [2]})


def test_list(admin: Admin) -> None:
    admin.tunnels.append(tunnel("c3", route="route & ü", pod="\x1b[2J"))
    code, out, err = splicer(*command(admin, "tunnels", "list"), LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["id", "a1", "b2", "c3"]
    assert r"route & \xfc" in out
    assert r"\x1b[2J" in out
    arguments = ["tunnels", "list", "--json", "--route", "route & ü", "--pod", "\x1b[2J"]
    code, out, err = splicer(*command(admin, *arguments))
    assert (code, err, json.loads(out)) == (0, "", {"tunnels": admin.tunnels[2:], "missing_workers": []})
    assert out.isascii()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_workers_that_do_not_answer_are_named(admin: Admin, more: list[str]) -> None:
    admin.missing = [2, 5]
    code, out, err = splicer(*command(admin, "tunnels", "list", *more))
    assert code == 0
    assert "a1" in out
    assert err.splitlines() == [
        f"splicer: worker {slot} did not answer: its tunnels are not in the list" for slot in (2, 5)
    ]


def test_close(admin: Admin) -> None:
    code, out, err = splicer(*command(admin, "tunnels", "close", "a1", "../x\x1b", "b2", "a1"))
    assert (code, out) == (1, "closed a1\nclosed b2\n")
    assert err == f"splicer: tunnel ../x\\x1b: {admin.address}: there is no such tunnel\n"
    assert [target for _, target, _ in admin.asked] == ["/tunnels/a1", "/tunnels/..%2Fx%1B", "/tunnels/b2"]
    admin.tunnels.append(tunnel("c3"))
    assert splicer(*command(admin, "tunnels", "close", "--json", "c3")) == (0, '{"closed": "c3"}\n', "")


def test_what_was_closed_before_a_failure_is_told(admin: Admin) -> None:
    admin.instead = lambda method, target: b"" if target.endswith("b2") else None
    code, out, err = splicer(*command(admin, "tunnels", "close", "a1", "b2"))
    assert (code, out) == (1, "closed a1\n")
    assert len(err.splitlines()) == 1


def test_drain(admin: Admin) -> None:
    admin.remaining = lambda: iter([1, 0])
    code, out, err = splicer(*command(admin, "tunnels", "drain", "--pod", "voice-agent-3", "--wait", "--timeout", "1h"))
    assert (code, err) == (0, "")
    assert out.endswith("pod voice-agent-3: drained\n")
    code, out, err = splicer(*command(admin, "tunnels", "drain", "--pod", "voice-agent-3", "--undo"))
    assert (code, out, err) == (0, "pod voice-agent-3: no longer drained\n", "")


def on_terminal(*command: str) -> str:
    """What a person sees whose terminal is narrow."""
    master, slave = pty.openpty()
    environ = {**ENVIRON, "TERM": "xterm", "COLUMNS": "20"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
        os.close(slave)
        seen = b""
        try:
            while data := os.read(master, 4096):
                seen += data
        except OSError:  # EIO: the other side is gone
            pass
        finally:
            os.close(master)
        assert process.wait(TIMEOUT) == 0
    return seen.decode()


def test_a_terminal_gets_colors_and_whole_lines(admin: Admin) -> None:
    admin.tunnels = [tunnel("x" * 100)]
    seen = on_terminal(*command(admin, "tunnels", "list"))
    assert "\x1b[1mid" in seen
    assert "x" * 100 in seen


def test_a_terminal_gets_a_live_line(admin: Admin) -> None:
    admin.remaining = lambda: iter([1, 0])
    seen = on_terminal(*command(admin, "tunnels", "drain", "--wait"))
    assert "\x1b[2K" in seen, "no line was replaced by its successor"
    assert "1 tunnel" in seen
    assert seen.endswith("everything: drained\r\n")


@pytest.mark.parametrize("more", [["list"], ["list", "--json"], ["drain", "--wait"], ["close", "a1", "b2"]])
def test_a_reader_who_leaves_is_no_failure_to_tell(admin: Admin, more: list[str]) -> None:
    admin.remaining = lambda: iter([2, 1, 0])
    pipe = subprocess.PIPE
    with subprocess.Popen(command(admin, "tunnels", *more), stdout=pipe, stderr=pipe, env=ENVIRON) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT) == 1
    if more[0] == "close":
        assert admin.tunnels == []


def test_a_full_disk_gets_one_line(admin: Admin) -> None:
    with Path("/dev/full").open("wb") as full:
        pipe = subprocess.PIPE
        words = command(admin, "status")
        done = subprocess.run(words, stdout=full, stderr=pipe, timeout=TIMEOUT, env=ENVIRON, check=False)
    assert (done.returncode, done.stderr) == (1, b"splicer: stdout: No space left on device\n")


def test_a_failure_gets_one_line(admin: Admin) -> None:
    admin.instead = lambda method, target: (200, b"{}")
    for more in (["status"], ["upstreams"], ["tunnels", "list"], ["tunnels", "drain"]):
        code, out, err = splicer(*command(admin, *more))
        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert err.startswith("splicer: ")
