"""A tree of processes, of any program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.peers.base import Job, PeerFailed
from bench.peers.process import Tree, session_of
from bench.peers.program import Program

CPUS = os.sched_getaffinity(0)
SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/end":
            sys.stderr.write("I have had enough\\n")
            os._exit(3)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""


class Server(Tree):
    software = Program(sys.executable, "", "", "")
    code = SERVER

    def configure(self) -> Sequence[str]:
        return ["-c", self.code, str(self.address[1])]

    def reload(self) -> None:
        raise NotImplementedError


class Refusing(Server):
    code = "raise SystemExit('bad port')"


class Mute(Server):
    code = "import signal; signal.pause()"


def server(home: Path, kind: type[Server] = Server) -> Server:
    return kind("one", Job((), 0, ("127.0.0.1", 0)), home, CPUS)


def test_children_are_of_it_and_end_with_it(tmp_path: Path) -> None:
    with server(tmp_path) as tree:
        assert len(tree.pids()) == 2
        assert tree.workers() == [tree.leader.pid]
    assert tree.pids() == []
    assert session_of(tree.leader.pid) == []


def test_the_processors_are_the_trees_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: given.append(cpus))
    with server(tmp_path):
        assert given == [CPUS, os.sched_getaffinity(0)]


def test_one_that_ends_at_the_start_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match=r"^one did not start \(1\): bad port$"):
        server(tmp_path, Refusing)


def test_one_that_ends_later_is_told_with_its_words(tmp_path: Path) -> None:
    tree = server(tmp_path)
    _ask_to_end(tree)
    with pytest.raises(PeerFailed, match=r"ended by itself \(3\): .*I have had enough$"):
        tree.__exit__(None, None, None)
    assert tree.pids() == []


def test_one_that_was_killed_is_no_failure(tmp_path: Path) -> None:
    with server(tmp_path) as tree:
        os.kill(tree.leader.pid, signal.SIGKILL)
        tree.leader.wait()
        assert tree.workers() == []


def test_one_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.process._TIMEOUT", 0.2)
    with pytest.raises(PeerFailed, match="did not answer within"):
        server(tmp_path, Mute)


def test_the_error_of_the_caller_goes_first(tmp_path: Path) -> None:
    tree = server(tmp_path)
    _ask_to_end(tree)
    tree.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert tree.pids() == []


def _ask_to_end(tree: Tree) -> None:
    import http.client

    line = http.client.HTTPConnection(*tree.address)
    line.request("GET", "/end")
    line.close()
    tree.leader.wait()
