"""What stands in for a container engine: a tree of its own over this machine's, in namespaces of its own.

The machine's own tree is the lower layer, so nothing has to be fetched; all that is written goes to a tmpfs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen

USER = 65532
_BASE = "/opt/base"  # where the base image's Python would be: a virtual environment, clean but for pip
_NEEDED = ("unshare", "nsenter", "chroot", "setpriv", "mount", "ip")

_MAKE = """
mount -t tmpfs tmpfs "$1" && cd "$1" && mkdir upper work root || exit 1
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" root || exit 1
mount --rbind /dev root/dev && mount -t tmpfs tmpfs root/dev/shm && mount -t proc proc root/proc || exit 1
echo made
exec cat
"""

_RUN = """
root=$1; shift
ip link set lo up && mount -t proc proc "$root/proc" && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" || exit 97
mount -t tmpfs -o "mode=700,uid=$1,gid=$1" tmpfs "$root/run/splicer" || exit 97
mount -o remount,bind,ro "$root" && mount -o remount,bind,ro "$root/dev" || exit 97
user=$1 cwd=$2; shift 2
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs \\
    --bounding-set=-all --inh-caps=-all --ambient-caps=-all env --chdir="$cwd" "$@"
"""


@frozen
class Container:
    """A tree that can be built in, and run in.

    Args:
        holder: the process whose mount namespace has it.
        place: where it is in there.
    """

    holder: int
    place: str

    def path(self, inside: str) -> Path:
        """Where a path of the tree is for this process; symbolic links in it are not to be followed."""
        return Path(f"/proc/{self.holder}/root{self.place}/root{inside}")

    def build(self, command: str, cwd: str, environment: Mapping[str, str]) -> None:
        """Run a command as root, as the RUN of a Dockerfile does.

        Raises:
            AssertionError: it failed.
        """
        pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTPS_"))}
        done = subprocess.run(
            [*self._entered(), "chroot", f"{self.place}/root", "env", "-i", f"--chdir={cwd}"]
            + [f"{name}={value}" for name, value in {**pip, **environment}.items()]
            + ["/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def command(self, command: list[str], cwd: str, environment: Mapping[str, str]) -> list[str]:
        """The command line that runs something as a pod does.

        As a user without a name, a capability or a way to get one; in process and network namespaces of its own;
        the tree read-only but for /dev/shm and /run/splicer.
        """
        return [
            *self._entered(),
            *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"),
            *("/bin/sh", "-c", _RUN, "run", f"{self.place}/root", str(USER), cwd, "-i"),
            *(f"{name}={value}" for name, value in environment.items()),
            *command,
        ]

    def _entered(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt"]


@contextmanager
def container(place: Path) -> Iterator[Container]:
    """A new tree, with `python` and `pip` first in `PATH_OF_BASE`. Skips the test where none can be made.

    Args:
        place: an empty directory.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can make the namespaces of a container")
    if missing := [name for name in _NEEDED if shutil.which(name) is None]:
        pytest.skip(f"no container without {', '.join(missing)}")
    with subprocess.Popen(
        ["unshare", "--mount", "/bin/sh", "-c", _MAKE, "make", place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "made\n":
            pytest.skip(f"this machine refuses a container's mounts: {holder.stderr.read().strip()}")
        made = Container(holder.pid, str(place))
        _let_everybody_reach(made, Path(sys.base_prefix))
        made.build(f"{sys.base_prefix}/bin/python3 -m venv {_BASE}", "/", {})
        yield made


def _let_everybody_reach(made: Container, path: Path) -> None:
    """An interpreter under /root is for root alone; in an image it is for everybody."""
    for above in (path, *path.parents):
        inside = made.path(str(above))
        inside.chmod(inside.stat().st_mode | 0o555)


PATH_OF_BASE = f"{_BASE}/bin:/usr/local/bin:/usr/bin:/bin"
