from __future__ import annotations

import json
import os
import urllib.request

import pytest

from bench import discovery_cost
from bench.discovery_cost import Discovered, main, slices
from bench.pairs import AFTER, BEFORE
from bench.peers.base import Job
from bench.peers.splicer import Checkout
from splicer.policy.slices import read_slice, rows_of
from tests.bench.test_pairs import FakeRun, report

JOB = Job(tuple((f"voice-agent-{number}", f"127.8.0.{number}") for number in range(1, 151)), 8000, ("127.0.0.1", 53))


@pytest.mark.parametrize(("after", "code", "word"), [(800.0, 1, "BROKEN"), (1000.0, 0, "kept"), (1200.0, 0, "kept")])
def test_a_call_with_discovery_may_cost_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: float, code: int, word: str
) -> None:
    class Run(FakeRun):
        found = report([1000.0] * 20, [after] * 20, "handshakes.per_cpu")

    monkeypatch.setattr(discovery_cost, "Run", Run)
    assert main([]) == code
    assert f"takes no more: {word}" in capsys.readouterr().out
    one, other = Run.options.peers
    assert (one.name, other.name) == (BEFORE, AFTER)
    assert isinstance(one, Checkout)
    assert isinstance(other, Discovered)


@pytest.mark.parametrize("arguments", [["nothing"], ["--pairs", "2"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_api_server_has_all_pods_and_holds_a_watch() -> None:
    with discovery_cost._api_server(JOB, os.sched_getaffinity(0)) as url:
        with urllib.request.urlopen(f"{url}/apis/x/endpointslices?labelSelector=y", timeout=10) as answer:
            said = json.load(answer)
        assert said == slices(JOB)
        found = rows_of(map(read_slice, said["items"]), 8000).rows
        assert {(row.pod, row.address) for row in found} == set(JOB.pods)
        with urllib.request.urlopen(f"{url}/apis/x/endpointslices?watch=true", timeout=10) as answer:
            assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
