"""The trial of new code: what is wrong with it is told, and a worker that can't begin costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from splicer.ipc import wire
from splicer.ipc.messages import Imported
from splicer.ipc.tls_messages import ServerProfile, TlsSettings
from splicer.supervisor import preflight
from splicer.supervisor.config_probe import understood
from splicer.supervisor.launch import PREFLIGHT
from splicer.supervisor.preflight import Failed
from splicer.tls_facts import CertificateFiles
from splicer.vault.protocol import channel
from tests.kit.descriptors import none_left_open
from tests.supervisor.harness import summary_of

_TEXT = '[server]\nlisten = "127.0.0.1:0"\n[[routes]]\nname = "all"\nprefix = "/"\nrespond = "status"\n'


@pytest.mark.parametrize("ends_with", ["nothing", "other words"])
def test_a_worker_that_does_not_say_what_it_should_has_failed(ends_with: str) -> None:
    ours, its = channel()
    with ours:
        if ends_with == "other words":
            its.send(b'{"version": 1, "kind": "prepared", "request": 1}')
        its.close()
        with pytest.raises(Failed, match="it has ended" if ends_with == "nothing" else "it says"):
            preflight._await(ours, Imported)


def test_one_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_WORKER_START_TIMEOUT", 0.01)
    ours, its = channel()
    with ours, its, pytest.raises(Failed, match=r"it has not imported anything for 0\.01 s"):
        preflight._await(ours, Imported)


def test_a_worker_of_good_code_begins_and_ends() -> None:
    preflight._begin_worker(Path("routing.toml"), _TEXT)


def test_one_that_ends_before_it_begins_is_told_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = []

    def spawn(*_: object) -> int:
        spawned.append(os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(3)"], os.environ))
        return spawned[-1]

    monkeypatch.setattr(preflight, "spawn", spawn)
    with pytest.raises(Failed, match="it has ended"):
        preflight._begin_worker(Path("routing.toml"), _TEXT)
    [pid] = spawned
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_state_that_the_new_code_can_not_read_is_a_fault_that_names_the_file() -> None:
    with none_left_open():
        outcome = preflight.preflight(Path("routing.toml"), "no state")
    [fault] = outcome.faults  # type: ignore[union-attr]  # it is no summary
    assert fault.startswith("routing.toml: the new code can't take over: ")


def test_new_code_whose_workers_could_not_have_their_mover_is_refused(tmp_path: Path) -> None:
    with none_left_open():
        text = wire.text_file("no state")
        done = subprocess.run(
            [sys.executable, "-m", PREFLIGHT, str(tmp_path / "routing.toml"), "--text", str(text)],
            env={**os.environ, "SPLICER_NATIVE": "yes"},
            pass_fds=[text],
            capture_output=True,
            timeout=60,
            check=True,
        )
        os.close(text)
    [fault] = understood(done.stdout, Path("routing.toml")).faults  # type: ignore[union-attr]  # it is no summary
    assert "the new code can't take over: UnfitChoice" in fault
    assert "SPLICER_NATIVE='yes': must be 0" in fault


@pytest.mark.parametrize("in_vault", [False, True])
def test_certificates_are_read_where_the_tls_processes_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, in_vault: bool
) -> None:
    """Those of a vault of its own container may be nowhere else."""
    settings = TlsSettings(1, {"edge": ServerProfile((CertificateFiles(folder=str(tmp_path / "certs")),))})
    found = summary_of(tls=settings)
    monkeypatch.setattr(preflight, "_MODULES", ())
    monkeypatch.setattr(preflight, "read", lambda _: SimpleNamespace(tls_in_vault=in_vault))
    monkeypatch.setattr(preflight, "_inspect", lambda _: found)
    monkeypatch.setattr(preflight, "_begin_worker", lambda *_: None)
    outcome = preflight.preflight(tmp_path / "routing.toml", "a state")
    if in_vault:
        assert outcome is found
    else:
        assert "certs" in outcome.faults[0]  # type: ignore[union-attr]  # it is no summary
