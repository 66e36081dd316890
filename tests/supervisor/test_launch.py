"""How a process is started: with which code, which descriptors, and which signals held back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import splicer
from splicer.supervisor import launch
from splicer.supervisor.launch import FORKED, PROGRAMS

CHECKOUT = str(Path(launch.__file__).resolve().parents[2])


def test_from_a_checkout_its_own_package_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m splicer` there has the checkout, or "" for it, in front of its path."""
    for first in (CHECKOUT, ""):
        monkeypatch.setattr(sys, "path", [first, "/elsewhere"])
        assert launch.command("splicer.worker", "{}") == [
            sys.executable,
            "-X",
            "no_debug_ranges",
            "-m",
            "splicer.worker",
            "{}",
        ]


def test_what_is_installed_runs_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the directory where somebody has started it."""
    for path in (["/usr/local/bin", CHECKOUT], ["/elsewhere"], []):
        monkeypatch.setattr(sys, "path", path)
        assert launch.command("splicer.worker")[:2] == [sys.executable, "-P"]


def test_a_splicer_in_the_current_directory_is_not_taken_for_the_installed_one(tmp_path: Path) -> None:
    impostor = tmp_path / "splicer"
    impostor.mkdir()
    (impostor / "__init__.py").write_text("")
    (impostor / "which.py").write_text("print('the impostor')")
    script = tmp_path / "bin" / "started"
    script.parent.mkdir()
    script.write_text(
        f"import sys; sys.path.append({CHECKOUT!r})\n"
        "from splicer.supervisor.launch import command\n"
        "import subprocess; print(subprocess.run(command('splicer.which'), capture_output=True).stdout)"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "b''\n", "there is no such module in the one that has asked"


PRINT = """
import json, os, signal, sys
arguments = json.loads(sys.argv[1])
found = {
    "arguments": arguments,
    "given": [os.readlink(f"/proc/self/fd/{fd}") for fd in arguments["fds"]],
    "open": [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "pid": os.getpid(),
}
os.write(arguments["answer"], json.dumps(found).encode())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that says how it was started."""
    (tmp_path / "told.py").write_text(PRINT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "told"


def _open() -> list[int]:
    fds = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    return [fd for fd in fds if Path(f"/proc/self/fd/{fd}").exists()]


def test_a_process_gets_its_descriptors_and_no_others_and_no_signal_before_it_is_ready(module: str) -> None:
    answer, write_fd = os.pipe()
    given, other = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/full", os.O_RDONLY)
    everybodys = {fd for fd in _open() if os.get_inheritable(fd)}
    pid = launch.spawn(module, {"fds": [given], "answer": write_fd, "word": "ü"}, [given, write_fd])
    assert os.waitpid(pid, 0)[1] == 0
    found = json.loads(os.read(answer, 1 << 16))
    assert found["arguments"]["word"] == "ü"
    assert found["given"] == ["/dev/zero"]
    assert set(found["open"]) == {0, 1, 2, given, write_fd} | everybodys
    assert set(found["blocked"]) == set(launch.SIGNALS)
    assert found["pid"] == pid
    for fd in (given, write_fd):
        assert not os.get_inheritable(fd), "the next one would have them too"
    for fd in (answer, write_fd, given, other):
        os.close(fd)


def test_a_process_that_can_not_be_started_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open("/dev/zero", os.O_RDONLY)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(FileNotFoundError):
        launch.spawn("splicer.worker", {}, [fd])
    with pytest.raises(FileNotFoundError):
        launch.become("splicer.worker", {}, [fd])
    assert not os.get_inheritable(fd)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    os.close(fd)


def test_a_process_becomes_another_program_under_the_same_number(module: str) -> None:
    answer, write_fd = os.pipe()
    program = (
        "import sys; from splicer.supervisor.launch import become\n"
        f"become({module!r}, {{'fds': [], 'answer': {write_fd}}}, [{write_fd}])"
    )
    with subprocess.Popen([sys.executable, "-c", program], pass_fds=[write_fd], cwd=CHECKOUT) as child:
        assert child.wait(30) == 0
    found = json.loads(os.read(answer, 1 << 16))
    assert found["pid"] == child.pid
    assert set(found["blocked"]) == set(launch.SIGNALS)
    os.close(answer)
    os.close(write_fd)


def test_a_process_is_taken_before_its_supervisor_when_memory_is_short() -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    pid = launch.spawn("splicer.nothing", {}, [])
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == min(1000, own + 100)
    os.waitpid(pid, 0)


def test_where_that_is_not_permitted_it_is_started_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *_: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("splicer.supervisor.launch.Path.write_text", refused)
    pid = launch.spawn("splicer.nothing", {}, [])
    assert os.waitpid(pid, 0)[0] == pid


# ---- the names ----


def test_the_names_that_another_version_may_start_stay() -> None:
    """An old supervisor starts these from the code that is on disk by then: a renamed one is an upgrade that fails."""
    assert PROGRAMS == (
        "splicer.worker",
        "splicer.admin",
        "splicer.discovery",
        "splicer.supervisor",
        "splicer.supervisor.preflight",
        "splicer.configfile.inspect",
        "splicer.supervisor.vault_main",
        "splicer.template",
        "splicer.tls",
    )


def test_what_holds_keys_is_never_forked() -> None:
    """Nor is what must run the code that is on disk now."""
    assert {"splicer.worker", "splicer.admin", "splicer.discovery", "splicer.configfile.inspect"} == FORKED


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_of_them_can_be_run(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        spec = find_spec(f"{name}.__main__")
    assert spec is not None
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()


def test_no_other_module_is_started() -> None:
    """Whoever names one by a string must take it from the tuple."""
    root = Path(splicer.__file__).parent
    named = {
        (file.name, name)
        for file in root.rglob("*.py")
        for name in re.findall(r'"(splicer(?:\.[a-z_]+)+)"', file.read_text())
        if find_spec(name) is not None
    }
    started = ("supervisor", "admin", "discovery", "tls")
    imported = ("splicer.relay.state", *(f"splicer.{name}.__main__" for name in started))
    modules = {("preflight.py", name) for name in imported}
    packages = {(file, name) for file, name in named if name in ("splicer.demo",)}  # with a file to be read
    packages.add(("semantics.py", "splicer.upstream"))  # an attribute of spans
    assert named - modules - packages == {("launch.py", name) for name in PROGRAMS}
