"""Hooks in a whole edge: new code by a reload, bad code, the end of a call, and a hook that never comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.kit.calls import handshake, tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, kill_worker, several
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.wire import ask, dial, request, until
from tests.kit.workers import worker_pids

pytestmark = pytest.mark.slow

_CALLS = 50
_CODE = """
import trio
from splicer.hooks import Answer, CallEnd, Continue, Request

class Mine:
    def __init__(self, log: str) -> None:
        self.log = log

    def write(self, word: str) -> None:
        with open(self.log, "a") as file:
            file.write(word + "\\n")

    async def on_request(self, request: Request) -> Answer | Continue:
        if request.path.endswith("/for-ever"):
            while True:
                pass
        if request.path.endswith("/slow"):
            await trio.sleep(2)
        if request.path.endswith("/teapot"):
            return Answer(418, b"old")
        return Continue(set_headers={"X-Hook": "old"}, log={"version": "old"})

    def on_call_end(self, call: CallEnd) -> None:
        self.write(f"old {call.pod} {call.to_pod} {call.to_client} {call.closed_by} {call.log['version']}")

    async def aclose(self) -> None:
        self.write("old closed")
"""
_HOOK = """
[hooks.mine]
use = "mine:Mine"
path = "{path}"
options = {{ log = "{path}/log" }}
deadline = "5s"
"""


class Ground:
    """An edge whose routes have a hook."""

    def __init__(self, edge: Edge, directory: Path) -> None:
        self.edge = edge
        self.directory = directory

    def code(self, text: str) -> None:
        (self.directory / "mine.py").write_text(text, encoding="utf-8")

    def words(self) -> list[str]:
        log = self.directory / "log"
        return log.read_text().splitlines() if log.exists() else []


def config(site: Site, directory: Path) -> str:
    text = several(site, 2, extra=_HOOK.format(path=directory))
    return text.replace('upstream = "pod"', 'upstream = "pod"\nhooks = ["mine"]')


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory, site = tmp_path_factory.mktemp("hooks"), Site()
    (directory / "mine.py").write_text(_CODE, encoding="utf-8")
    with running(config(site, directory), site) as edge:
        yield Ground(edge, directory)


@pytest.fixture
async def place(ground: Ground) -> Place:
    ground.code(_CODE)
    await ground.edge.reload(config(ground.edge.site, ground.directory))
    (ground.directory / "log").unlink(missing_ok=True)
    return ground.edge.site.take()


async def test_the_pod_gets_what_the_hook_says_and_the_log_too(
    ground: Ground, place: Place, nursery: trio.Nursery
) -> None:
    edge = ground.edge
    pod = await http_pod(nursery, place.address, place.port)
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 200
    assert pod.seen[0].get("X-Hook") == "old"
    found = await ask(edge.address, "GET", f"/http/{place.name}/teapot")
    assert (found.status, found.body) == (418, b"old")
    assert (await edge.line("exchange", status=200))["hooks"] == {"version": "old"}


async def test_the_end_of_a_call_is_told_also_after_its_worker_died(
    ground: Ground, place: Place, nursery: trio.Nursery
) -> None:
    await tunnel_pod(nursery, place.address, place.port)
    async with tunnel(ground.edge, f"/ws/{place.name}/x") as call:
        await echoes(call)
        for slot in (1, 2):
            await kill_worker(ground.edge, slot)
        await echoes(call)
    await until(lambda: [word for word in ground.words() if place.name in word])
    assert [word for word in ground.words() if place.name in word] == [f"old {place.name} 10 10 client old"]


async def test_a_reload_brings_new_code_while_the_old_code_waits(
    ground: Ground, place: Place, nursery: trio.Nursery
) -> None:
    edge = ground.edge
    pod = await http_pod(nursery, place.address, place.port)
    ground.code(_CODE.replace("old", "first"))
    await edge.reload(config(edge.site, ground.directory) + "# first")
    async with dial(edge.address) as waiting:
        await waiting.send(request("GET", f"/http/{place.name}/slow"))
        await trio.sleep(0.3)
        ground.code(_CODE.replace("old", "new"))
        await edge.reload(config(edge.site, ground.directory) + "# again")
        assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 200
        assert (await waiting.reply()).status == 200
    assert [message.get("X-Hook") for message in pod.seen] == ["new", "first"]
    await until(lambda: ground.words().count("first closed") >= 2)  # the spare, too, may have had it


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("x = ", "hooks.mine.use: mine can't be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("class Mine:\n    def __init__(self, log): print('hello'); raise SystemExit(0)",
         "hooks.mine.options: Mine(log) fails: SystemExit: 0"),
    ],
)  # fmt: skip
async def test_bad_code_changes_nothing(
    ground: Ground, place: Place, nursery: trio.Nursery, code: str, fault: str
) -> None:
    edge = ground.edge
    pod = await http_pod(nursery, place.address, place.port)
    ground.code(code)
    line = await edge.reload(config(edge.site, ground.directory) + f"# {fault}")
    assert line["event"] == "reload_failed"
    assert [told["fault"] for told in edge.find("reload_fault")] == [f"{edge.path}: {fault}"]
    assert edge.take_stderr() == ("hello\n" if "hello" in code else "")
    assert (await ask(edge.address, "GET", f"/http/{place.name}/")).status == 200
    assert pod.seen[0].get("X-Hook") == "old"


async def test_a_hook_that_never_comes_back_ends_its_worker_and_no_call(
    ground: Ground, place: Place, nursery: trio.Nursery
) -> None:
    edge = ground.edge
    await tunnel_pod(nursery, place.address, place.port)
    async with AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(tunnel(edge, f"/ws/{place.name}/x")) for _ in range(_CALLS)]
        for call in calls:
            await echoes(call)
        before = worker_pids(edge.pid)
        async with dial(edge.address) as victim:
            await victim.send(handshake(f"/ws/{place.name}/for-ever"))
            [line] = await edge.expected(1, "worker_died")
            assert line["reason"] == "stuck"
        await until(lambda: set(worker_pids(edge.pid)) == {1, 2} and worker_pids(edge.pid) != before)
        for call in calls:
            await echoes(call)


def test_the_command_runs_foreign_code_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise ValueError('it ran')", encoding="utf-8")
    file = tmp_path / "routing.toml"
    file.write_text(
        '[upstreams.a]\naddress = "10.0.0.1:80"\n[hooks.mine]\nuse = "mine:Mine"\n'
        f'path = "{tmp_path}"\n[[routes]]\nname = "r"\nprefix = "/"\nupstream = "a"\nhooks = ["mine"]\n',
        encoding="utf-8",
    )

    def check(*more: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "splicer", "check", "-c", str(file), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    assert check() == (0, "")
    code, told = check("--hooks")
    assert (code, told) == (1, f"splicer: {file}: hooks.mine.use: mine can't be imported: ValueError: it ran\n")
