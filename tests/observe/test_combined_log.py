"""The combined format, as programs read it."""

from __future__ import annotations

import re
import time

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import TooManyConnections
from splicer.observe.combined_log import CombinedLog, quoted
from splicer.observe.log import make_logger
from splicer.record import Record
from tests.observe.still import still
from tests.observe.test_access_log import EXCHANGE
from tests.observe.test_log import LONGEST, Lines

# What nginx's own documentation and every reader of this format has for it.
LINE = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)
HEADERS = (("header_referer", "https://a.example/"), ("header_user_agent", "curl/8.0"))


def told(what: str, *arguments: object, query: bool = False) -> tuple[list[str], list[str]]:
    """The lines in the combined format, and the others."""
    lines, events = Lines(), Lines()
    log = CombinedLog(make_logger(events, "json"), query, lines=lines)  # type: ignore[arg-type]  # see Lines
    getattr(log, what)(*arguments)
    return lines.lines, events.lines


def test_to_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1796004941.7)
    record = evolve(EXCHANGE, headers=HEADERS, version="1.1")
    line = '192.0.2.7 - - [30/Nov/2026:02:15:41 +0000] "PUT /a/%20x HTTP/1.1" 201 5 "https://a.example/" "curl/8.0"'
    assert told("exchange_ended", record) == ([line], [])
    [line] = told("exchange_ended", evolve(record, version="1.0", headers=HEADERS[1:]), query=True)[0]
    assert line.endswith('"PUT /a/%20x?token=secret HTTP/1.0" 201 5 "-" "curl/8.0"')


async def test_a_call_is_one_line_at_its_end() -> None:
    call = evolve(EXCHANGE, status=101, to_client=960_000)
    assert told("tunnel_opened", call) == ([], [])
    assert told("tunnel_goes_on", still(call)) == ([], [])
    [line], _ = told("tunnel_closed", call)
    assert line.endswith('"PUT /a/%20x HTTP/1.1" 101 960000 "-" "-"'), "its next worker knows no version"


def test_what_is_not_logged_is_not_here_either() -> None:
    for what in ("exchange_ended", "tunnel_closed"):
        assert told(what, evolve(EXCHANGE, logged=False)) == ([], [])


def test_all_else_goes_elsewhere() -> None:
    lines, events = told("connection_refused", "192.0.2.7", TooManyConnections())
    assert (lines, len(events)) == ([], 1)


def test_what_is_unknown() -> None:
    [line], _ = told("exchange_ended", Record("f" * 16, "192.0.2.7", 1.0))
    assert line.endswith('] "-" 000 0 "-" "-"')
    [line], _ = told("exchange_ended", Record("f" * 16, "192.0.2.7", 1.0, method="GET", path="/x", status=400))
    assert line.endswith('] "GET /x" 400 0 "-" "-"')


@pytest.mark.parametrize(
    ("text", "quoted_text"),
    [
        ("plain text/1.0", "plain text/1.0"),
        ('a"b\\c', "a\\x22b\\x5Cc"),
        ("a\r\n\x1b[31m", "a\\x0D\\x0A\\x1B[31m"),
        ("ä", "\\xC3\\xA4"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 17 + "..."),
        ("ä" * 20, "\\xC3\\xA4\\xC3\\xA4..."),
    ],
)
def test_no_text_ends_its_quotes(text: str, quoted_text: str) -> None:
    assert quoted(text, 20) == quoted_text


NASTY = st.text(max_size=40) | st.sampled_from(['"', "\\", "\n", "\x00", "\udcff", "\U0001f600", "x"]).map(
    lambda part: part * 5000
)


@given(path=NASTY, query=NASTY, referer=NASTY, agent=NASTY)
def test_whatever_a_client_sends_it_is_one_line_of_the_format(path: str, query: str, referer: str, agent: str) -> None:
    headers = (("header_referer", referer), ("header_user_agent", agent))
    record = evolve(EXCHANGE, path=path, query=query, headers=headers, version="1.1")
    [line], _ = told("exchange_ended", record, query=True)
    assert len(line.encode()) < LONGEST
    assert line.isascii()
    assert "\n" not in line
    found = LINE.fullmatch(line)
    assert found
    assert (found["client"], found["status"], found["bytes"]) == ("192.0.2.7", "201", "5")
    assert found["request"].startswith("PUT ")
    assert found["request"].endswith(" HTTP/1.1")
    assert abs(time.mktime(time.strptime(found["time"], "%d/%b/%Y:%H:%M:%S +0000")) - time.mktime(time.gmtime())) < 3600
