"""The commands that the demo prints can be pasted."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from splicer.demo.edge import Edge
from splicer.demo.guide import introduce, show_by_hand
from splicer.demo.places import ADMIN, PODS
from splicer.demo.story import Story


class _Process:
    pid = 4711


def _edge(file: Path) -> Edge:
    edge = Edge(_Process(), file)  # type: ignore[arg-type]  # its pid alone is told
    edge.address = "127.0.0.1:7070"
    return edge


def _words(line: str) -> list[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=True)  # "&" and its like are words, if not in quotes
    words.whitespace_split = True
    return list(words)


def _commands(said: str) -> list[list[str]]:
    return [_words(line) for line in said.splitlines() if line.startswith("   ")]


def test_the_parts_of_the_system_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    introduce(Story(), _edge(Path("/tmp/x/routing.toml")))
    said = capsys.readouterr().out
    assert re.search(
        r"^ +pods +voice-agent-0 to voice-agent-4, on 127\.0\.0\.10:8000 to 127\.0\.0\.14:8000$", said, re.M
    )
    assert "edge    splicer run, on 127.0.0.1:7070, process 4711\n           /tmp/x/routing.toml\n" in said


@pytest.mark.parametrize("stopped", list(PODS))
def test_a_shell_takes_each_command(
    stopped: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/it's here/python")
    show_by_hand(Story(), _edge(Path("/tmp/a b/routing.toml")), stopped, 3)
    commands = _commands(capsys.readouterr().out)
    [site, top, *rest] = commands
    python, file = "/opt/it's here/python", ["-c", "/tmp/a b/routing.toml"]
    assert site == [f"http://{ADMIN}/"]
    assert top == [python, "-m", "splicer", "top", *file]
    calls = [command for command in rest if command[1:3] == ["-m", "splicer.demo"]]
    assert [command[0] for command in calls] == [python] * 2
    pods = [re.fullmatch(r"ws://127\.0\.0\.1:7070/ws/pod/([^/]+)/hello", command[3]) for command in calls]
    works, falls_back = [found[1] for found in pods if found]
    assert falls_back == stopped != works
    assert works in PODS
    asked = [command[-1] for command in rest if command[0] == "curl"]
    assert all(url.startswith(("http://127.0.0.1:7070/", f"http://{ADMIN}/")) for url in asked)
    assert f"http://127.0.0.1:7070/{works}/what/the%20pod?gets=to&see" in asked
    assert [command for command in rest if command[0] == "kill"] == [
        ["kill", "-HUP", "4711"],
        ["kill", "-TERM", "4711"],
    ]
    assert [python, "-m", "splicer", "tunnels", "list", *file] in rest


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        (0, "Look at it (no call is kept alive; --calls keeps some)"),
        (1, "Look at it (1 call is kept alive)"),
        (2, "Look at it (2 calls are kept alive)"),
    ],
)
def test_how_many_calls_there_are(calls: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_by_hand(Story(), _edge(Path("routing.toml")), "voice-agent-2", calls)
    assert said in capsys.readouterr().out.splitlines()
