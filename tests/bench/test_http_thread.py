"""A server beside what is measured."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

import pytest

from bench.http_thread import Handler, served


class _Where(Handler):
    def do_GET(self) -> None:  # noqa: N802 - the library gives the name
        body = json.dumps(sorted(os.sched_getaffinity(0))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_its_threads_are_on_their_processors_and_this_one_stays(capfd: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    one = {min(before)}
    with served(_Where, one) as url:
        with urllib.request.urlopen(f"{url}/x", timeout=10) as answer:
            assert json.load(answer) == sorted(one)
        assert os.sched_getaffinity(0) == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)
    assert capfd.readouterr() == ("", "")
