"""The units of deploy/systemd: what one says of the other, of splicer and of routing.toml is so."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer

from splicer.cli.app import app
from splicer.config.values import duration
from splicer.supervisor import service_status, shutdown

_ROOT = Path(__file__).parents[2]
_UNITS = _ROOT / "deploy" / "systemd"
_BINARY = "/opt/splicer/bin/splicer"
_SPANS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_EXPOSURE = 20  # tenths: "systemd-analyze security" calls less than that safe or OK
_CALLS = ["splice", "memfd_create", "epoll_wait", "accept4", "sendmsg", "recvmsg", "execve", "prlimit64", "flock"]

Unit = dict[str, list[str]]


# Its keys may come several times, which configparser doesn't bear.
def unit(name: str) -> Unit:
    """What each key of a unit file says, systemd.syntax(7); no key of ours is in two sections."""
    said: Unit = defaultdict(list)
    for line in (_UNITS / name).read_text().splitlines():
        if line and line[0] not in "#;[":
            key, equals, value = line.partition("=")
            assert equals, line
            assert not line.endswith("\\"), line
            said[key].append(value)
    return said


def words(said: Unit, key: str) -> set[str]:
    return {word for value in said[key] for word in value.split()}


def seconds(said: Unit, key: str) -> float:
    [value] = said[key]
    number = value.rstrip("abcdefghijklmnopqrstuvwxyz")
    return float(number) * _SPANS[value[len(number) :]]


def command(said: Unit, key: str = "ExecStart") -> dict[str, Any]:
    """What splicer's own command line makes of the command."""
    [line] = said[key]
    line = line.replace("$MAINPID", "4711")
    binary, name, *arguments = line.split()
    assert binary == _BINARY
    group = typer.main.get_command(app)
    context = typer.Context(group)
    found = group.get_command(context, name)  # type: ignore[attr-defined]  # it is a group
    parameters: dict[str, Any] = found.make_context(name, arguments).params
    return parameters


EDGE, VAULT = unit("splicer.service"), unit("splicer-vault.service")
BOTH = pytest.mark.parametrize("said", [EDGE, VAULT], ids=["edge", "vault"])


def test_the_edge_finds_its_vault_and_its_file() -> None:
    edge, vault = command(EDGE), command(VAULT)
    assert edge["vault"] == vault["socket"] == Path("/run/splicer/vault.sock")
    assert edge["config"] == Path("/etc/splicer/routing.toml")
    [directory] = VAULT["RuntimeDirectory"]
    assert Path("/run") / directory == vault["socket"].parent


# Who edits the file says when it is to be read: no half of an edit is ever tried.
def test_the_edge_keeps_what_was_good_and_waits_for_a_reload() -> None:
    edge = command(EDGE)
    [directory] = EDGE["StateDirectory"]
    assert edge["last_good"].parent == Path("/var/lib") / directory
    assert EDGE["StateDirectoryMode"] == ["0700"]
    assert edge["watch"] is False


def test_only_the_vault_has_the_directory() -> None:
    """A unit that names it, too, gets a mount of it, which still shows the old one when there is another."""
    for key in ("RuntimeDirectory", "ReadWritePaths", "BindPaths"):
        assert not EDGE[key]
    assert VAULT["RuntimeDirectoryPreserve"] == ["yes"]
    assert VAULT["RuntimeDirectoryMode"] == ["0700"]


def test_both_are_one_user() -> None:
    assert EDGE["User"] == EDGE["Group"] == VAULT["User"] == VAULT["Group"]
    lines = (_UNITS / "splicer.sysusers").read_text().splitlines()
    [made] = [line.split()[:2] for line in lines if not line.startswith("#")]
    assert made == ["u", *EDGE["User"]]
    for said in (EDGE, VAULT):
        assert not said["DynamicUser"]


def test_the_end_of_the_vault_does_not_end_the_edge() -> None:
    assert "splicer-vault.service" in words(EDGE, "Wants") & words(EDGE, "After")
    for key in ("Requires", "BindsTo", "PartOf", "Requisite", "Upholds", "Conflicts"):
        assert not EDGE[key]
        assert not VAULT[key]


@BOTH
def test_each_is_started_again_whatever_has_ended_it(said: Unit) -> None:
    assert said["Restart"] == ["always"]  # also after the exit code 0 of a handover
    assert said["StartLimitIntervalSec"] == ["0"]
    assert seconds(said, "RestartSec") <= 1  # calls stand still meanwhile
    assert said["OOMPolicy"] == ["continue"]


def test_the_vault_is_the_last_to_be_killed_for_memory() -> None:
    [edge], [vault] = EDGE["OOMScoreAdjust"], VAULT["OOMScoreAdjust"]
    assert -1000 < int(vault) < int(edge) < 0


def test_a_reload_is_over_before_systemd_gives_it_up() -> None:
    assert EDGE["ExecReload"][0].split()[1] == "reload"
    asked = command(EDGE, "ExecReload")
    assert (asked["pid"], asked["no_wait"]) == (4711, False)
    assert duration(asked["timeout"]) < 90  # DefaultTimeoutStartSec=


def test_signals() -> None:
    assert EDGE["KillSignal"] == ["SIGTERM"]
    assert EDGE["KillMode"] == ["mixed"]  # the workers hear of it from the supervisor
    assert not EDGE["ExecStop"]


@BOTH
def test_it_says_itself_how_it_does(said: Unit) -> None:
    assert said["Type"] == ["notify"]
    assert said["NotifyAccess"] == ["main"]


# No fixed time would do: the file may be changed at any time. See tests/e2e/test_systemd.py for the asking.
def test_a_drain_is_never_cut_short() -> None:
    assert service_status._EXTENSION_SECONDS >= 10 * service_status._STATUS_INTERVAL
    assert (
        seconds(EDGE, "TimeoutStopSec")
        > shutdown._HANDOVER_TIMEOUT + shutdown._STOP_TIMEOUT + service_status._EXTENSION_SECONDS
    )


@BOTH
def test_a_watchdog_bites_only_what_hangs(said: Unit) -> None:
    assert seconds(said, "WatchdogSec") >= 10  # an exec, with all imports on a busy machine, takes some of it


@BOTH
def test_descriptors_for_as_many_calls_as_the_file_allows(said: Unit) -> None:
    limits = tomllib.loads((_ROOT / "routing.toml").read_text())["limits"]
    assert int(said["LimitNOFILE"][0]) >= 8 * limits["connections"]


@BOTH
def test_nothing_is_left_to_it_that_it_does_not_need(said: Unit) -> None:
    assert said["CapabilityBoundingSet"] == [""]
    assert said["ProtectSystem"] == ["strict"]
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute"):
        assert said[key] == ["yes"], key


def test_families_of_sockets() -> None:
    assert words(EDGE, "RestrictAddressFamilies") == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert words(VAULT, "RestrictAddressFamilies") == {"AF_UNIX"}


def test_the_environment_that_routing_toml_takes() -> None:
    assert EDGE["EnvironmentFile"] == ["-/etc/splicer/environment"]


# ---- systemd's own opinion ----


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("systemd-analyze")
    if binary is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([binary, "--no-pager", *arguments], capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    paths = []
    for name in ("splicer.service", "splicer-vault.service"):
        paths.append(tmp_path / name)
        paths[-1].write_text((_UNITS / name).read_text().replace(_BINARY, "/bin/sh"))
    done = analyze("verify", "--man=no", *map(str, paths))
    assert not [line for line in done.stderr.splitlines() if "splicer" in line or str(tmp_path) in line]


@pytest.mark.parametrize("name", ["splicer.service", "splicer-vault.service"])
def test_systemd_finds_it_well_shut(name: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={_EXPOSURE}", str(_UNITS / name))
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd is older than 250")
    assert done.returncode == 0, done.stdout[-500:]


def test_what_splicer_calls_is_among_the_calls_that_are_let_through() -> None:
    done = analyze("syscall-filter")
    if done.returncode:
        pytest.skip(done.stderr)
    sets: dict[str, set[str]] = defaultdict(set)
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            name = line
        elif line.strip() and not line.strip().startswith("#"):
            sets[name].add(line.strip())

    def all_of(name: str) -> set[str]:
        return {call for each in sets[name] for call in (all_of(each) if each.startswith("@") else {each})}

    for said in (EDGE, VAULT):
        assert said["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert not set(_CALLS) - (all_of("@system-service") - all_of("@privileged"))
