"""Calls over TLS outlive all of `splicer run` while `splicer vault --tls` has their tls processes, with mTLS too."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import Factory, define

from tests.kit.edge import Edge, Line, running
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.tls import NAME, Certificates, server_context, tls_echo, tls_pod, tls_text
from tests.kit.vaults import Vault, vault_at
from tests.kit.wire import TIMEOUT, until
from tests.kit.workers import kill_and_see, worker_pids
from tests.stress.test_tls_kills import Calls, nothing_is_lost

pytestmark = [pytest.mark.slow, pytest.mark.alone]
_KINDS = ("client", "pod", "both")


@define
class Lives:
    """One edge after another, with the same vault and file."""

    text: str
    site: Site
    vault: Vault
    stack: ExitStack
    all: list[Edge] = Factory(list)

    @property
    def edge(self) -> Edge:
        return self.all[-1]

    def begin(self) -> Edge:
        options = ("--vault", str(self.vault.path))
        self.all.append(self.stack.enter_context(running(self.text, self.site, options=options)))
        return self.edge

    async def next(self) -> None:
        """SIGKILL of everything: supervisor, template, workers; then the next one."""
        self.edge.kill()
        await trio.to_thread.run_sync(self.begin)

    async def closes(self, count: int) -> list[Line]:
        """The ends of so many calls, in whichever life."""
        await until(lambda: sum(len(edge.find("tunnel_close")) for edge in self.all) >= count)
        return [line for edge in self.all for line in edge.find("tunnel_close")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def lives(certificates: Certificates, path: Path) -> Iterator[Lives]:
    """An edge for clients with TLS and without, and for pods that want a certificate."""
    site = Site()
    ours = certificates.folder("ours", "edge-client")
    routes = f"""
[upstreams.tls]
address = "{{pod}}.pods.test:{site.port}"
allow = ["127.0.0.0/8"]
tls = {{ ca = "{certificates.ca}", certificate = "{ours}" }}
[[routes]]
name = "tls"
regex = '^/tls/(?<pod>[^/]+)(?<rest>/.*)$'
upgrade = ["websocket"]
upstream = "tls"
"""
    text = tls_text(site.toml(routes), [certificates.folder("edge", NAME)])
    text = text.replace("listen = {", "listen = [{").replace('tls = "edge" }', 'tls = "edge" }, "127.0.0.2:0"]', 1)
    text = text.replace('admin = "off"', 'admin = "off"\nworkers = 2\ntls_workers = 3')
    with vault_at(path, tls=True) as vault, ExitStack() as stack:
        lives = Lives(text, site, vault, stack)
        lives.begin()
        yield lives


@asynccontextmanager
async def descriptors_return(vault: Vault) -> AsyncIterator[None]:
    """The vault and its tls processes have soon as many open at the end as at the beginning."""

    def count() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (vault.pid, *vault.tls_pids)]

    before = sum(count())
    yield
    await until(lambda: sum(count()) <= before + 2 * len(vault.tls_pids))  # the youngest one may still be loading


async def trial(
    certificates: Certificates,
    path: Path,
    fault: Callable[[Lives], object],
    calls: int,
    *,
    lost: bool = False,
) -> tuple[Calls, list[Line]]:
    """Have so many calls during a fault; return them, and the lines of the logs about their ends."""
    with lives(certificates, path) as these:
        async with trio.open_nursery() as nursery:
            places = {kind: these.site.take() for kind in _KINDS}
            await pods(nursery, certificates, these.site, places)
            host, _, port = these.edge.find("ready")[0]["listen"][1].rpartition(":")
            trying = Calls(these.edge, (host, int(port)), certificates.client(), places)
            async with trio.open_nursery() as talking:
                for number in range(calls):
                    talking.start_soon(trying.run, number)
                await until(lambda: len(trying.sent) == calls)
                await fault(these)  # type: ignore[misc]
                trying.stop.set()
                with trio.fail_after(2 * TIMEOUT):
                    await until(lambda: lost or trying.sent == trying.echoed)
            closes = await these.closes(calls)
            nursery.cancel_scope.cancel()
    return trying, closes


async def pods(nursery: trio.Nursery, certificates: Certificates, site: Site, places: dict[str, Place]) -> None:
    names = [f"{place.name}.pods.test" for place in places.values()]
    context = server_context(certificates.folder("pods", *names), certificates.ca)
    await tunnel_pod(nursery, places["client"].address, site.port)
    for kind in ("pod", "both"):
        await tls_pod(nursery, places[kind].address, site.port, context, tls_echo)


async def test_the_edge_is_killed_at_any_moment(certificates: Certificates, tmp_path: Path) -> None:
    random = Random(5)

    async def kill(these: Lives) -> None:
        for _ in range(4):
            await trio.sleep(random.uniform(0.05, 1))
            await these.next()
            await trio.sleep(random.uniform(0.05, 1))
            worker = random.choice(list((await until(lambda: worker_pids(these.edge.pid))).values()))
            await kill_and_see(worker)
            await these.edge.expected(1, "worker_died", pid=worker)

    calls, closes = await trial(certificates, tmp_path / "vault.sock", kill, 18)
    nothing_is_lost(calls, closes)
    assert max(line["adopted"] for line in closes) >= 4


async def test_the_edge_is_killed_renewed_and_upgraded(certificates: Certificates, tmp_path: Path) -> None:
    async def renew(these: Lives) -> None:
        await these.next()
        for signum, event in (
            (signal.SIGHUP, "reload"),
            (signal.SIGUSR1, "recycled"),
            (signal.SIGUSR2, "upgraded"),
        ):
            these.edge.signal(signum)
            await these.edge.line(event)
        await these.next()

    calls, closes = await trial(certificates, tmp_path / "vault.sock", renew, 12)
    nothing_is_lost(calls, closes)


async def test_after_that_a_killed_tls_process_ends_its_calls_and_no_others(
    certificates: Certificates, tmp_path: Path
) -> None:
    async def kill(these: Lives) -> None:
        await these.next()
        pid = min(these.vault.tls_pids)
        await kill_and_see(pid)
        await until(lambda: these.edge.find("tunnel_close", reason="tls_lost"))
        await until(lambda: len(these.vault.tls_pids) == 3)
        await trio.sleep(1)
        assert [line["pid"] for line in these.vault.take("tls_died")] == [pid]

    calls, closes = await trial(certificates, tmp_path / "vault.sock", kill, 18, lost=True)
    lost = {line["path"] for line in closes if line["reason"] == "tls_lost"}
    assert 0 < len(lost) < 18
    assert set(calls.ended) == lost
    assert all(calls.sent[path] == calls.echoed[path] for path in calls.sent.keys() - lost)
    assert {line["closed_by"] for line in closes if line["path"] in lost} == {"proxy"}


async def test_kills_leave_no_descriptor(certificates: Certificates, tmp_path: Path) -> None:
    """Twenty tls processes and workers die, one edge, and then the vault has what it had."""
    random = Random(8)
    with lives(certificates, tmp_path / "vault.sock") as these:
        vault = these.vault
        await until(lambda: len(vault.tls_pids) == 3)
        async with descriptors_return(vault):
            for round_ in range(20):
                if round_ == 10:
                    await these.next()
                elif round_ % 3:
                    pid = random.choice(vault.tls_pids)
                    await kill_and_see(pid)
                    await vault.line("tls_died", pid=pid)
                else:
                    worker = random.choice(list((await until(lambda: worker_pids(these.edge.pid))).values()))
                    await kill_and_see(worker)
                    await these.edge.expected(1, "worker_died", pid=worker)
                await until(lambda: len(vault.tls_pids) == 3 and len(worker_pids(these.edge.pid)) == 2)
        vault.take("tls_died")
