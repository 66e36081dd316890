"""`splicer demo` as a person has it: a process, its output, its signals."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from attrs import evolve

from splicer.config.load import load
from splicer.config.schema import Config
from splicer.demo import DemoFailed, run_demo
from splicer.demo.places import ADMIN, EDGE_HOST, POD_PORT, PODS, ROUTER_HOST, ROUTER_PORT
from splicer.model import Deadlines, Route
from splicer.ops.client import Client
from splicer.ops.where import admin_address
from tests.kit.edge import session_of

_TIMEOUT = 120.0  # seconds: for a machine that is busy with other things


class Demo:
    """A running demo, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def read_until(self, pattern: str) -> re.Match[str]:
        """The first match in what it says from now on."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} not said, but:\n{''.join(self.said)}")

    def end(self) -> tuple[int, str]:
        """Its exit code and stderr, when it has ended."""
        rest, errors = self.process.communicate()
        self.said.append(rest)
        return self.process.returncode, errors

    def ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)


@contextmanager
def running(*options: str) -> Iterator[Demo]:
    command = [sys.executable, "-m", "splicer", "demo", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        watchdog = threading.Timer(_TIMEOUT, process.kill)
        watchdog.start()
        try:
            yield Demo(process)
        finally:
            process.terminate()
            process.wait()
            watchdog.cancel()


def edge_of(text: str) -> tuple[int, Path]:
    """Process and file of the edge that a demo has told of."""
    found = re.search(r"on 127\.0\.0\.1:\d+, process (\d+)\n +(\S+/routing\.toml)\n", text)
    assert found
    return int(found[1]), Path(found[2])


def assert_nothing_left(edge: int, file: Path) -> None:
    late = time.monotonic() + _TIMEOUT
    while session_of(edge):
        assert time.monotonic() < late, session_of(edge)
        time.sleep(0.02)
    assert not file.parent.exists()


def _start(command: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*shlex.split(command), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, errors = process.communicate(timeout=_TIMEOUT)
    return process.returncode, said, errors


def test_the_tour_tells_its_story_and_leaves_nothing_behind() -> None:
    with running("--once", "--port", "0") as demo:
        status, errors = demo.end()
    story = "".join(demo.said)
    assert (status, errors) == (0, ""), story
    assert "\x1b" not in story
    pod = re.search(r"ws://127\.0\.0\.1:\d+/ws/pod/(voice-agent-\d)/agent/voice/", story)
    assert pod
    first, second = re.findall(r"(voice-agent-\d) answered after [\d.]+ ms", story)
    assert first == pod[1] != second
    assert len(re.findall(r"15 frames of 160 bytes there and back", story)) == 2
    assert f"GET /{first}/calls" in story
    assert f"X-Splicer-Fallback-From: {first}" in story
    log = re.findall(r"edge log: tunnel_close .*attempts=\[(.*?)\]", story)
    assert log == [
        f"pod {PODS[first]}:{POD_PORT} ok",
        f"pod {PODS[first]}:{POD_PORT} connect_refused, any-pod {PODS[second]}:{POD_PORT} ok",
    ]
    assert story.endswith("The demo has ended.\n")
    assert_nothing_left(*edge_of(story))


@pytest.mark.slow
def test_it_runs_on_can_be_tried_by_hand_and_ends_with_ctrl_c() -> None:
    with running("--port", "0", "--calls", "0") as demo:
        demo.read_until("Ctrl-C ends the demo")
        story = "".join(demo.said)
        edge, file = edge_of(story)
        assert os.getpgid(edge) == edge, "a terminal's Ctrl-C would reach the edge too"
        commands = re.findall(r"^ +(\S+ -m splicer\.demo ws://\S+) 10 ", story, re.MULTILINE)
        assert len(commands) == 2
        nowhere = commands[0].rpartition("/ws/")[0] + "/nowhere"
        calls = [_start(command, "1") for command in (*commands, nowhere)]
        for status, said, errors in map(_ended, calls[:2]):
            assert (status, errors) == (0, "")
            assert re.fullmatch(r" +voice-agent-\d answered after .*\n +1 s: latency .*\n", said)
        assert _ended(calls[2]) == (1, "", "splicer: the call: refused with status 404\n")
        log = "".join(demo.read_until("edge log: tunnel_close").string for _ in range(2))
        assert log.count("connect_refused") == 1

        file.write_text(file.read_text().replace("healthy", "quite well"))
        os.kill(edge, signal.SIGHUP)
        demo.read_until("edge log: reload ")
        file.write_text("rubbish")
        os.kill(edge, signal.SIGHUP)
        demo.read_until("edge log: reload_failed ")

        demo.ctrl_c()
        assert demo.end() == (0, "")
    assert demo.said[-1].endswith("The demo has ended.\n")
    assert_nothing_left(edge, file)


@pytest.mark.slow
def test_calls_are_kept_alive_and_begun_anew() -> None:
    with running("--port", "0", "--calls", "2") as demo:
        demo.read_until("Ctrl-C ends the demo")
        story = "".join(demo.said)
        edge, file = edge_of(story)
        assert "Look at it (2 calls are kept alive)" in story
        assert re.search(rf"^ +http://{re.escape(ADMIN)}/ ", story, re.MULTILINE)
        top = re.search(r"^ +(\S+ -m splicer top -c \S+) ", story, re.MULTILINE)
        assert top
        for _ in range(2):
            demo.read_until(r"edge log: tunnel_open .*/caller-[12] ")
        client = Client(*admin_address(ADMIN))
        paths = {row["path"]: row["id"] for row in client.ask("GET", "/tunnels")["tunnels"]}
        assert {path.rpartition("/")[2] for path in paths} == {"caller-1", "caller-2"}
        status, said, errors = _ended(_start(top[1]))
        assert (status, errors) == (0, "")
        assert said.count("/caller-") == 2
        one = next(path for path in paths if path.endswith("caller-1"))
        client.ask("DELETE", f"/tunnels/{paths[one]}")
        again = demo.read_until(r"edge log: tunnel_open .*/ws/pod/(voice-agent-\d)/caller-1 ")
        assert again[1] not in one, "it goes to the next pod"
        demo.ctrl_c()
        assert demo.end() == (0, "")
    assert_nothing_left(edge, file)


@pytest.mark.slow
def test_ctrl_c_during_the_tour_ends_it_in_order() -> None:
    with running("--port", "0") as demo:
        demo.read_until("2. The call")
        demo.ctrl_c()
        demo.ctrl_c()
        assert demo.end() == (0, "")
    assert_nothing_left(*edge_of("".join(demo.said)))


# Its workers finish the call under way, and take no new one: the step after fails.
def test_an_edge_that_dies_fails_the_tour_in_one_line() -> None:
    with running("--once", "--port", "0") as demo:
        demo.read_until("answered after")
        edge, file = edge_of("".join(demo.said))
        assert len(session_of(edge)) > 1
        os.kill(edge, signal.SIGKILL)
        status, errors = demo.end()
    assert status == 1
    assert re.fullmatch(r"splicer: (the call|asking voice-agent-\d for its calls): .+\n", errors)
    assert_nothing_left(edge, file)


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.create_server((EDGE_HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with running("--once", "--port", str(port)) as demo:
            status, errors = demo.end()
    assert (status, demo.said) == (1, [""])
    fault = f"splicer: the edge: {EDGE_HOST}:{port}: Address already in use"
    assert errors == f"{fault}; take another with --port; 0 takes any free one\n"


@pytest.mark.parametrize(
    ("who", "host", "port"),
    [("voice-agent-3", PODS["voice-agent-3"], POD_PORT), ("smart-router", ROUTER_HOST, ROUTER_PORT)],
)
def test_a_pods_address_in_use_is_told(who: str, host: str, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    fault = f"^{who}: {re.escape(host)}:{port}: Address already in use; is another demo running\\?$"
    with socket.create_server((host, port)), pytest.raises(DemoFailed, match=fault):
        run_demo(once=True, port=0)
    assert capsys.readouterr() == ("", "")


def demo_config() -> Config:
    return load(files("splicer.demo").joinpath("routing.toml").read_text(), environ={})


# All but what needs a domain of its own, or an application behind it.
def test_its_routes_are_those_of_the_repository() -> None:
    text = Path(__file__).parents[2].joinpath("routing.toml").read_text()
    routes = load(text, environ={}).routes
    assert [_essence(route) for route in demo_config().routes] == [
        _essence(route) for route in routes if route.name not in ("clairvoyance", "unknown-domain")
    ]


def _essence(route: Route) -> tuple[Route, list[str]]:
    targets = [upstream.text for upstream in (route.upstream, route.fallback) if upstream is not None]
    return evolve(route, index=0, hosts=(), deadlines=Deadlines(), upstream=None, fallback=None), targets
