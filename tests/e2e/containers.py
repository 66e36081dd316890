"""Containers of one pod, as far as splicer can tell: pid, mount, IPC and cgroup namespaces of their own, a read-only
root, a /dev/shm of their own, and a user without any capability; the network and one directory are shared.

    with pod_of_containers() as pod, pod.run_vault() as vault, pod.run_edge(text) as edge:
        edge.kill()          # the first process, and so the whole container
        edge.start()         # the next life of the same container

Only root can do that, and not everywhere: see `refusal`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.kit.wire import TIMEOUT, until

USER = 65532
_ROOT = Path(__file__).parents[2]
_PYTHON = os.path.realpath(sys.executable)
_TOOLS = ("unshare", "nsenter", "setpriv", "prlimit", "mount")
_NAMESPACES = ("--pid", "--mount", "--ipc", "--cgroup")
_NOBODY = (
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
)
_POLL_INTERVAL = 0.005  # seconds

Line = dict[str, Any]


class Container:
    """One container; it may have several lives, one after another. See `PodOfContainers`.

    Args:
        pod: it belongs to.
        ready: the event in its log that says so.
        arguments: of `splicer`.
        nofile: RLIMIT_NOFILE, "soft:hard"; "": ours.
        shm: the size of /dev/shm.
        hidden: a directory that it has empty: what is mounted into another container alone.
    """

    def __init__(
        self,
        pod: PodOfContainers,
        ready: str,
        arguments: Sequence[str],
        nofile: str,
        shm: str,
        hidden: Path | None = None,
    ) -> None:
        self.lines: list[Line] = []  # of all lives
        self.noise: list[str] = []
        self._mark = 0
        self._pod = pod
        self._ready = ready
        self._arguments = arguments
        self._script = _script(pod, nofile, shm, hidden)
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` does
        self._readers: list[threading.Thread] = []
        self.start()

    @property
    def first(self) -> int:
        """Its first process; its number here, not there."""
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    def start(self, *, patient: bool = True) -> None:
        """Begin a life, and wait until it is ready; not `patient`: only until its supervisor is there."""
        before = len(self.lines)
        self.process = subprocess.Popen(
            ["unshare", *_NAMESPACES, "--fork", "sh", "-ec", self._script, "sh", *_splicer(*self._arguments)],
            cwd=self._pod.etc,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )
        self._readers.append(threading.Thread(target=self._read, args=(self.process,), daemon=True))
        self._readers[-1].start()
        late = time.monotonic() + TIMEOUT
        while not patient and not self._is_supervisor():
            assert time.monotonic() < late, "no supervisor comes"
        while patient and not any(line["event"] == self._ready for line in self.lines[before:]):
            assert self.process.poll() is None, f"it has ended: {self.stderr}{self.noise}"
            assert time.monotonic() < late, f"it is not ready: {self.lines[before:]}{self.stderr}"
            time.sleep(_POLL_INTERVAL)

    @property
    def address(self) -> tuple[str, int]:
        """Where this life of an edge listens."""
        host, _, port = [line for line in self.lines if line["event"] == "ready"][-1]["listen"][0].rpartition(":")
        return host, int(port)

    @property
    def stderr(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()

    def signal(self, signum: signal.Signals) -> None:
        """Send the first process a signal, as the kubelet does."""
        os.kill(self.first, signum)

    def kill(self) -> None:
        """SIGKILL the first process; the kernel ends all others of the container."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Wait for the end of this life; the exit code."""
        code = self.process.wait(seconds)
        self._readers[-1].join(TIMEOUT)
        return code

    def execute(self, *arguments: str, user: Sequence[str] = _NOBODY) -> subprocess.CompletedProcess[str]:
        """Run `splicer` inside, as `kubectl exec` does."""
        enter = ["nsenter", f"--target={self.first}", *_NAMESPACES, "env", "-C", str(self._pod.etc), *user]
        return subprocess.run(
            [*enter, *_splicer(*arguments)], env=_environ(), capture_output=True, text=True, timeout=60, check=False
        )

    def mark(self) -> None:
        """`find` and `line` look no further back than here."""
        self._mark = len(self.lines)

    def find(self, event: str, **fields: object) -> list[Line]:
        """Its log lines with this event and these fields."""
        return [
            line
            for line in self.lines[self._mark :]
            if line["event"] == event and all(line.get(key) == value for key, value in fields.items())
        ]

    async def line(self, event: str, **fields: object) -> Line:
        """The first such line; waits for it."""
        return (await until(lambda: self.find(event, **fields)))[0]

    def close(self) -> None:
        """End it, whatever it does."""
        with suppress(ValueError, ProcessLookupError, FileNotFoundError):
            self.signal(signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(TIMEOUT)
        self._stderr.close()

    def _is_supervisor(self) -> bool:
        try:
            return Path(f"/proc/{self.first}/cmdline").read_bytes().startswith(b"splicer: supervisor ")
        except (ValueError, FileNotFoundError):  # it has not begun yet
            return False

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                try:
                    self.lines.append(json.loads(raw))
                except ValueError:
                    self.noise.append(raw)


class PodOfContainers:
    """What the containers share.

    Args:
        directory: for it; anybody can enter it.
    """

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"  # the ConfigMap
        self.run = directory / "run"  # the emptyDir
        self.stage = directory / "stage"
        for path in (self.etc, self.run, self.stage):
            path.mkdir()
        os.chown(self.run, USER, USER)
        self.socket = self.run / "vault.sock"

    @contextmanager
    def run_vault(self, *options: str, nofile: str = "", shm: str = "64m") -> Iterator[Container]:
        """The sidecar."""
        arguments = ("vault", "--socket", str(self.socket), *options)
        with self._run("vault_ready", arguments, nofile, shm) as vault:
            yield vault

    @contextmanager
    def run_edge(
        self, text: str, *options: str, nofile: str = "", shm: str = "64m", hidden: Path | None = None
    ) -> Iterator[Container]:
        """The edge beside it.

        Args:
            text: its routing.toml.
            options: of `splicer run`, besides its file and the vault.
            nofile: see `Container`.
            shm: see `Container`.
            hidden: see `Container`.
        """
        (self.etc / "routing.toml").write_text(text)
        with self._run("ready", ("run", "--vault", str(self.socket), *options), nofile, shm, hidden) as edge:
            yield edge

    @contextmanager
    def _run(
        self, ready: str, arguments: Sequence[str], nofile: str, shm: str, hidden: Path | None = None
    ) -> Iterator[Container]:
        container = Container(self, ready, arguments, nofile, shm, hidden)
        try:
            yield container
        finally:
            container.close()


@contextmanager
def pod_of_containers() -> Iterator[PodOfContainers]:
    """A pod. Not in pytest's own directory, which nobody else can enter."""
    with tempfile.TemporaryDirectory(prefix="splicer-pod-") as directory:
        Path(directory).chmod(0o755)
        yield PodOfContainers(Path(directory))


@cache
def refusal() -> str | None:
    """Why there can be no containers here; None: there can."""
    if os.geteuid() != 0:
        return "only root can make containers"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"no {', '.join(missing)} here"
    with pod_of_containers() as pod:
        script = _script(pod, "", "1m")
        tried = subprocess.run(
            [
                "unshare",
                *_NAMESPACES,
                "--fork",
                "sh",
                "-ec",
                script,
                "sh",
                _PYTHON,
                "-c",
                "import splicer.worker.worker",
            ],
            env=_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
    return f"no containers here: {tried.stderr.strip().splitlines()[-1:]}" if tried.returncode else None


def _splicer(*arguments: str) -> list[str]:
    return [_PYTHON, "-m", "splicer", *arguments]


# Not the virtual environment's own interpreter, which may be a link to somewhere that others can't go.
def _environ() -> dict[str, str]:
    places = [str(_ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))}


# The root is made read-only last, and its submounts stay as they are: the emptyDir is one. Where others can't enter,
# say a home that has the interpreter, a directory that they can enter is put in its place, and what is needed bound
# there.
def _script(pod: PodOfContainers, nofile: str, shm: str, hidden: Path | None = None) -> str:
    lines = ["mount --make-rprivate /"]
    for place, (closed, needed) in enumerate(_closed().items()):
        staged = [(path, f"{pod.stage}/{place}.{number}") for number, path in enumerate(needed)]
        for path, stage in staged:
            lines += [f"mkdir -p {stage}", f"mount --bind {shlex.quote(path)} {stage}"]
        lines.append(f"mount -t tmpfs -o mode=755,size=1m tmpfs {shlex.quote(closed)}")
        for path, stage in staged:
            lines += [f"mkdir -p {shlex.quote(path)}", f"mount --move {stage} {shlex.quote(path)}"]
    lines += [
        "mount -t proc proc /proc",
        f"mount -t tmpfs -o mode=1777,size={shm} tmpfs /dev/shm",
        f"mount --bind {pod.run} {pod.run}",
        *([] if hidden is None else [f"mount -t tmpfs -o mode=755,size=1m tmpfs {shlex.quote(str(hidden))}"]),
        "mount -o remount,bind,ro /",
    ]
    limit = f"prlimit --nofile={nofile} " if nofile else ""
    return "\n".join([*lines, f'exec {limit}{shlex.join(_NOBODY)} "$@"'])


def _closed() -> dict[str, list[str]]:
    """Directories that others can't enter, and what is needed below."""
    needed = [os.path.realpath(sys.base_prefix), *_environ()["PYTHONPATH"].split(os.pathsep)]
    found: dict[str, list[str]] = {}
    for path in map(Path, needed):
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                found.setdefault(str(above), []).append(str(path))
                break
    return found
