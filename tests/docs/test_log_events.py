"""docs/log-events.md has every log event of the code, and none besides; and every reason of an error."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from splicer import authorization, endpoint_errors, errors, hook_settings, limit_errors, tls_errors
from splicer.http1 import version_error
from tests.docs.log_events import Event, logged_events

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/log-events.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (info|warning|error) \|", re.MULTILINE)
ROWS = dict(ROW.findall(PAGE))


@pytest.fixture(scope="module")
def logged() -> set[Event]:
    return logged_events(ROOT / "splicer")


def test_the_page_has_every_event_and_none_besides(logged: set[Event]) -> None:
    assert ROWS.keys() == {event.name for event in logged}


def test_each_event_has_one_row() -> None:
    assert [name for name, rows in Counter(name for name, _ in ROW.findall(PAGE)).items() if rows > 1] == []


def test_levels_are_those_of_the_code(logged: set[Event]) -> None:
    assert [event for event in logged if event.level not in (None, ROWS.get(event.name))] == []


def test_the_page_has_every_reason_with_its_status() -> None:
    statuses: dict[str, str] = {}
    for words, status in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (\d{3}) \|", PAGE, re.MULTILINE):
        statuses |= dict.fromkeys(re.findall(r"`(\w+)`", words), status)
    modules = (errors, limit_errors, endpoint_errors, tls_errors, authorization, version_error, hook_settings)
    known = [value for module in modules for value in vars(module).values()]
    classes = [each for each in known if isinstance(each, type) and issubclass(each, errors.SplicerError)]
    raised = {each.reason: str(each.status) for each in classes}
    # Families; for the writer of a file; the pod's, the authorizer's or the hook's own status.
    for other in ("error", "config", "pod_error", "pod_unusable", "status", "authorize_denied", "hook_answered"):
        del raised[other]
    assert statuses == raised


# ---- the search itself ----


def found_in(directory: Path, code: str) -> set[Event]:
    package = directory / "package"
    package.mkdir()
    (package / "module.py").write_text(code)
    return set(logged_events(package))


def test_a_logger_is_found(tmp_path: Path) -> None:
    code = """
log.info("one", two="three")
log("four", level="error")
log.info_json("six", text)
match.info("not one")
send("five")
"""
    assert found_in(tmp_path, code) == {Event("one", "info"), Event("four", "error"), Event("six", "info")}


def test_what_hands_an_event_on_is_a_logger(tmp_path: Path) -> None:
    code = """
class Part:
    def close(self, event):
        self.lost(event)
    def lost(self, event):
        self.log(event, level="error")
    def begin(self, word):
        self.word = word
    def end(self):
        self.log(self.word)
part.close("one")
part.begin("two")
"""
    assert found_in(tmp_path, code) == {Event("one", None), Event("two", None)}
