"""A Kubernetes API server as a process of its own, as far as a client of EndpointSlices can see it.

    with api_server() as api:
        api.sync("voice-agent", [Pod("voice-agent-0", "127.0.0.10"), Pod("voice-agent-1", "127.0.0.11", ready=False)])
        ... [kubernetes] api = "{api.url}", token_file = "{api.token_file}", ca_file = "{api.ca_file}" ...
        api.sync("voice-agent", [Pod("voice-agent-0", "127.0.0.10", terminating=True)])
        api.crash()
        api.listen(fresh=True)

`sync` is what the endpointslice controller does: give it all pods that the Service has now, and each slice that changes
is an event. Each method returns after the server has obeyed, and blocks for about a millisecond.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict

from tests.kit.kubernetes.controller import Pod
from tests.kit.kubernetes.faults import Kind, Where
from tests.kit.kubernetes.resources import Thing

__all__ = ["ApiServer", "Pod", "api_server"]

_ROOT = Path(__file__).parents[2]
_PORTS = {"ws": 8000}


class ApiServer:
    """The process from outside; see `api_server`.

    Args:
        url: ``https://127.0.0.1:PORT`` (or ``http:``, where no token is needed, as behind ``kubectl proxy``).
        token_file: has the token that the server takes.
        ca_file: has the CA of the server's certificate.
    """

    def __init__(self, process: subprocess.Popen[str], directory: Path, scheme: str) -> None:
        self._process = process
        self._scheme = scheme
        self.port: int = self._read()["port"]
        self.token_file, self.ca_file = directory / "token", directory / "ca.crt"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def sync(
        self,
        service: str,
        pods: Sequence[Pod],
        ports: Mapping[str, int] | None = None,
        *,
        namespace: str = "voice",
        publish_not_ready: bool = False,
    ) -> None:
        """These are all pods behind the Service now, which is made if there is none.

        Args:
            service: its name.
            pods: those with an IP that have not ended, in any state; none: a placeholder slice.
            ports: the pods' ports by the Service's names for them; none given: ``{"ws": 8000}``.
            namespace: another one than the first is made known, and permitted, with this.
            publish_not_ready: the Service's `publishNotReadyAddresses`.
        """
        said = [asdict(pod) for pod in pods]
        more = {"ports": dict(_PORTS if ports is None else ports), "publish_not_ready": publish_not_ready}
        self._do("sync", namespace=namespace, service=service, pods=said, **more)

    def remove(self, service: str, *, namespace: str = "voice") -> None:
        """Delete the Service and its slices."""
        self._do("remove", namespace=namespace, service=service)

    def copy(self, service: str, pod: str, *, namespace: str = "voice") -> None:
        """Let a pod stand in two slices at once, until the next `sync`."""
        self._do("copy", namespace=namespace, service=service, pod=pod)

    def slices(self, service: str, *, namespace: str = "voice") -> list[Thing]:
        """What is kept for the Service."""
        kept: list[Thing] = self._do("slices", namespace=namespace, service=service)
        return kept

    def most(self, endpoints: int) -> None:
        """So many endpoints, not 100, are in a slice at most from now on."""
        self._do("most", endpoints=endpoints)

    def refuse(self) -> None:
        """Stop listening, as a server does that got SIGTERM: watches that there are go on."""
        self._do("refuse")

    def crash(self) -> None:
        """Stop listening and cut all connections."""
        self._do("crash")

    def listen(self, *, fresh: bool = False) -> None:
        """Listen again, on the same port; fresh: as a new process, which knows no history and says 403 for 50 ms."""
        self._do("listen", fresh=fresh)

    def mute(self, on: bool = True) -> None:
        """Swallow all that the server says, and keep the connections; or say it all at last."""
        self._do("mute", on=on)

    def compact(self) -> None:
        """Every resourceVersion of before is too old now (410)."""
        self._do("compact")

    def bookmark(self) -> None:
        """Send a bookmark to each watch that takes them."""
        self._do("bookmark")

    def bookmarks_every(self, seconds: float) -> None:
        """The bookmarks of watches that begin from now on; a real server sends one each 60 s."""
        self._do("bookmarks_every", seconds=seconds)

    def end_watches(self) -> None:
        """End all watches in order, as at their timeout."""
        self._do("end_watches")

    def fault(self, kind: Kind, where: Where = "any", *, times: int = 1, **how: int | None) -> None:
        """Do something wrong to the next requests of a kind; see tests/kit/kubernetes/faults.py.

        Args:
            kind: what.
            where: to lists, to watches or to any.
            times: to how many requests.
            how: `status`, `retry_after` (seconds), `size` (bytes).
        """
        self._do("fault", kind=kind, where=where, times=times, **how)

    def spoil(self, kind: Kind, **how: int | None) -> None:
        """Do something wrong to the watches that run: `cut`, `half_line`, `long_line`, `garbage`, `error`."""
        self._do("spoil", kind=kind, **how)

    def token(self, text: str, *, publish: bool = True) -> None:
        """Take another token from now on, and write it into the file, as the kubelet does, or not."""
        self._do("token", text=text, publish=publish)

    def certificates(self, *, publish: bool = True) -> None:
        """Show a certificate of another CA from now on, and write the CA into the file, or not."""
        self._do("certificates", publish=publish)

    def forbid(self, namespace: str = "voice") -> None:
        """The token's owner may not list or watch there (403)."""
        self._do("forbid", namespace=namespace)

    def permit(self, namespace: str = "voice") -> None:
        """The token's owner may list and watch there."""
        self._do("permit", namespace=namespace)

    def asked(self) -> list[dict[str, Any]]:
        """All lists and watches so far: `time` (seconds, of the server's clock), `target`, `headers`, `status`."""
        asked: list[dict[str, Any]] = self._do("asked")
        return asked

    def watching(self) -> int:
        """How many watches run."""
        count: int = self._do("watching")
        return count

    def _do(self, order: str, **how: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": order, **how}) + "\n")
        self._process.stdin.flush()
        return self._read()["result"]

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the API server has ended; its stderr says why"
        return json.loads(line)


@contextmanager
def api_server(*, tls: bool = True) -> Iterator[ApiServer]:
    """A server without objects, whose clients may list and watch the namespace `voice`."""
    scheme = "https" if tls else "http"
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.kubernetes", directory, scheme],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield ApiServer(process, Path(directory), scheme)
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(timeout=30)
