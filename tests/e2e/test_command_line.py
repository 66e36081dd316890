"""What a person types, and what comes of it: exit codes, one clear line a fault, never a traceback."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
import trio
from attrs import frozen
from typer.testing import CliRunner

import splicer as package_of_splicer
from splicer.cli.app import app
from tests.kit.edge import running
from tests.kit.pods import http_pod
from tests.kit.site import Site
from tests.kit.wire import TIMEOUT, ask, dial, request, until

ROUTING = Path(__file__).parents[2] / "routing.toml"
FAULTY = """
[server]
workrs = 2
[deadlines]
head = "10"
[upstreams.pod]
address = "{pod}.example"
[[routes]]
name = "twilio-callback"
regex = '^/(?<pod>[a-z]+)(?<rest>/.*)$'
upstream = "pod"
rewrite = "/{pdo}"
[[routes]]
name = "none"
[[routes]]
name = "both"
path = "/x"
prefix = "/y"
respond = { status = 2000 }
color = 1
"""


@frozen
class Result:
    code: int
    out: str
    err: str


async def splicer(*arguments: str | Path, **environ: str) -> Result:
    return await splicer_of(None, *arguments, **environ)


async def splicer_of(place: Path | None, *arguments: str | Path, **environ: str) -> Result:
    """The same with the package that is in this directory; None: the one that is tested."""
    command = [sys.executable, "-m", "splicer", *map(str, arguments)]
    with trio.fail_after(3 * TIMEOUT):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, cwd=place, env={**os.environ, **environ}
        )
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in result.err + result.out
    return result


def here(*arguments: str | Path, **environ: str) -> Result:
    """The same in this process: an interpreter's start costs more than most commands."""
    done = CliRunner().invoke(app, [*map(str, arguments)], env=environ)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return Result(done.exit_code, done.stdout, done.stderr)


async def each(*commands: list[str]) -> list[Result]:
    """The results of several commands, which run at once."""
    results: dict[int, Result] = {}

    async def one(number: int, command: list[str]) -> None:
        results[number] = await splicer(*command)

    async with trio.open_nursery() as nursery:
        for number, command in enumerate(commands):
            nursery.start_soon(one, number, command)
    return [results[number] for number in range(len(commands))]


async def test_check_of_the_repositorys_own_file() -> None:
    result = await splicer("check", "-c", ROUTING)
    assert (result.code, result.err, str(ROUTING) in result.out) == (0, "", True)


async def test_check_tells_every_fault_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(FAULTY)
    result = here("check", "-c", path)
    assert result.code == 1
    lines = result.err.splitlines()
    assert all(str(path) in line for line in lines)
    for words in (
        ("server", "workrs", "workers"),
        ("deadlines.head", "10s"),
        ("upstreams.pod", "address"),
        ('routes 1 "twilio-callback": rewrite: unknown capture {pdo}; did you mean {pod}?',),
        ('routes 2 "none"', "path, prefix, regex"),
        ('routes 2 "none"', "respond, redirect, upstream"),
        ('routes 3 "both"', "prefix"),
        ('routes 3 "both"', "status"),
        ('routes 3 "both"', "color"),
    ):
        assert any(all(word in line for word in words) for line in lines), (words, lines)
    run = await splicer("run", "-c", path)
    assert (run.code, run.out, run.err) == (1, "", result.err)


def test_check_warns_of_a_route_that_can_never_match(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    names = [("all", "/"), ("shadowed", "/api/")]
    path.write_text(
        "".join(f'[[routes]]\nname = "{n}"\nprefix = "{p}"\nrespond = {{ status = 200 }}\n' for n, p in names)
    )
    result = here("check", "-c", path)
    assert result.code == 0
    assert "shadowed" in result.err
    assert "never match" in result.err


def test_check_warns_of_what_its_writer_hardly_meant(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(
        """\ufeff[upstreams.router]
address = "smart-router:8080"
[upstreams.pod]
address = "{pod}.com:8000"
[[routes]]
name = "pods"
regex = '^/(?<pod>[a-z]+)'
upstream = "pod"
[[routes]]
name = "all"
prefix = "/*"
upstream = "router"
""",
        encoding="utf-8",
    )
    result = here("check", "-c", path)
    assert result.code == 0
    warned = [line.removeprefix(f"{path}: warning: ") for line in result.err.splitlines()]
    for line, words in zip(
        warned,
        (
            ("byte-order mark", "save it as UTF-8"),
            ("upstreams.router.address", "full name", "[resolver.hosts]"),
            ("upstreams.pod.address", '"com"', "domain of your own"),
            ("upstreams.pod.allow", "is missing", "10.0.0.0/8"),
            ('routes 2 "all": prefix', 'write prefix = "/"'),
        ),
        strict=True,
    ):
        assert all(word in line for word in words)


def test_check_names_a_missing_variable(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(ROUTING.read_text().replace("${DNS_SERVER:-34.118.224.10}", "${DNS_SERVER_OF_THE_CLUSTER}"))
    result = here("check", "-c", path)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    assert "DNS_SERVER_OF_THE_CLUSTER" in result.err
    assert "resolver.nameservers" in result.err
    assert here("check", "-c", path, DNS_SERVER_OF_THE_CLUSTER="10.0.0.10").code == 0


async def test_a_file_that_is_none_gets_one_line(tmp_path: Path) -> None:
    contents = {"gone": None, "broken": b"[server\n", "binary": b"\xff\xfe"}
    words = {"gone": "No such file", "broken": "line 1", "binary": "UTF-8"}
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    results = {name: here("check", "-c", tmp_path / name) for name in contents}
    for name, result in [*results.items(), ("gone", await splicer("run", "-c", tmp_path / "gone"))]:
        assert (result.code, result.out) == (1, "")
        assert len(result.err.splitlines()) == 1
        assert str(tmp_path / name) in result.err
        assert words[name] in result.err


async def test_a_port_in_use_gets_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = tmp_path / "routing.toml"
        path.write_text(Site(pods=1).toml().replace("127.0.0.1:0", address))
        result = await splicer("run", "-c", path)
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert address in result.err
    assert "in use" in result.err


CLAIRVOYANCE = "Host: clairvoyance.breezelabs.app"
POD_3 = "voice-agent-3.voice-agent.voice-system.svc.cluster.local:8000"


EXPLAINED: list[tuple[list[str], int, list[str]]] = [
    (
        ["GET", "/ws/pod/voice-agent-3/a%2Fb?x=y", "-H", CLAIRVOYANCE],
        0,
        ["pod-websocket", "pod = voice-agent-3", POD_3, "/a%2Fb?x=y", "any-pod", "idle 1h", "does not match"],
    ),
    (["GET", "/x"], 0, ["unknown-domain", "404", "host localhost is not among"]),
    (["GET", "/ws/pod/x.y/z", "-H", CLAIRVOYANCE], 1, ["404"]),
    (["GET", "/../x"], 1, ["400"]),
]


def test_schema_prints_what_the_documents_have() -> None:
    result = here("schema")
    current = (ROUTING.parent / "docs/routing.schema.json").read_text(encoding="utf-8")
    assert (result.code, result.out, result.err) == (0, current, "")


def test_explain() -> None:
    for arguments, code, words in EXPLAINED:
        result = here("explain", "-c", ROUTING, *arguments)
        assert (result.code, result.err) == (code, ""), arguments
        assert all(word in result.out for word in words), result.out


def test_explain_says_when_no_route_matches(tmp_path: Path) -> None:
    path = tmp_path / "routing.toml"
    path.write_text(Site(pods=1).toml())
    result = here("explain", "-c", path, "GET", "/nowhere")
    assert (result.code, result.err) == (1, "")
    assert "404" in result.out
    assert all(f" {name}: " in result.out for name in ("health", "ready", "status", "ws", "http"))


async def test_wrong_usage_is_exit_code_2() -> None:
    results = [here(*arguments) for arguments in (["fly"], ["check", "-c"], ["explain", "GET"])]
    for result in (*results, await splicer("run", "--fast")):
        assert result.code == 2, result
        assert result.err, result


async def test_a_bad_choice_of_the_mover_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    """No worker is started: each would end by it."""
    path = tmp_path / "routing.toml"
    path.write_text(Site(pods=1).toml())
    for command in ("run", "check"):
        result = await splicer(command, "-c", path, SPLICER_NATIVE="yes")
        assert (result.code, result.out) == (2, "")
        [line] = result.err.splitlines()
        assert line.startswith("splicer: SPLICER_NATIVE='yes': must be 0 ")


async def test_so_is_a_mover_that_is_not_there(tmp_path: Path) -> None:
    package = Path(inspect.getfile(package_of_splicer)).parent
    shutil.copytree(package, tmp_path / "splicer", ignore=shutil.ignore_patterns("*.so", "*.pyc.*"))
    for command in (["run", "--to", "127.0.0.1:1"], ["check", "-c", str(ROUTING)]):
        result = await splicer_of(tmp_path, *command, SPLICER_NATIVE="1")
        assert (result.code, result.out) == (2, "")
        [line] = result.err.splitlines()
        assert line.startswith("splicer: SPLICER_NATIVE=1, but the C extension can't be loaded ")
    assert (await splicer_of(tmp_path, "check", "-c", ROUTING)).code == 0


async def test_help_and_version() -> None:
    for result in await each(["--help"], ["--version"]):
        assert (result.code, result.err) == (0, "")
        assert result.out


async def test_run_listens_on_several_addresses_and_writes_json_lines_and_nothing_else() -> None:
    site = Site(pods=1)
    text = site.toml().replace('"127.0.0.1:0"', '["127.0.0.1:0", "127.0.0.2:0"]')
    with running(text, site) as edge:
        addresses = edge.find("ready")[0]["listen"]
        assert len(addresses) == 2
        for address in addresses:
            host, _, port = address.rpartition(":")
            assert (await ask((host, int(port)), "GET", "/nowhere")).status == 404
        edge.signal(signal.SIGINT)
        assert await edge.exit_code() == 0
        events = [line["event"] for line in edge.lines]
        assert events == ["worker_serving", "ready", "exchange", "exchange", "stopped"]
        assert all({"event", "level", "time"} <= line.keys() for line in edge.lines)


async def test_the_log_may_be_for_a_person(tmp_path: Path, nursery: trio.Nursery) -> None:
    site = Site(pods=1)
    place = site.take()
    await http_pod(nursery, place.address, place.port)
    path = tmp_path / "routing.toml"
    text = site.toml(extra='[log]\nformat = "console"\n')
    path.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{site.port}"))
    out = tmp_path / "out"
    with out.open("wb") as sink:
        command = [sys.executable, "-m", "splicer", "run", "-c", str(path)]
        process = await trio.lowlevel.open_process(command, stdout=sink, stderr=sink, start_new_session=True)
    try:
        await until(lambda: "ready" in out.read_text())
        await ask(("127.0.0.1", site.port), "GET", f"/http/{place.name}/x")
        await until(lambda: f"/http/{place.name}/x" in out.read_text())
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.read_text().splitlines()[0])


async def test_a_log_that_nobody_reads_stops_no_call() -> None:
    site = Site(pods=1)
    with running(site.toml(), site) as edge:
        edge.reading.clear()
        async with dial(edge.address) as wire:
            for _ in range(400):  # many times what a pipe holds
                await wire.send(request("GET", "/" + "x" * 1000))
                assert (await wire.reply()).status == 404
