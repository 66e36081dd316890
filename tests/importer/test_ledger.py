"""The verdicts and the report."""

from __future__ import annotations

from splicer.importer.directive import Directive
from splicer.importer.ledger import UNKNOWN, Ledger, Verdict
from splicer.importer.report import as_json, as_text, summary


def test_what_nobody_looked_at_is_lost() -> None:
    ledger = Ledger()
    ledger.expect(Directive("a.conf", 3, "frobnicate on"))
    [entry] = ledger.entries()
    assert (entry.verdict, entry.note) == (Verdict.LOST, UNKNOWN)


def test_the_worst_verdict_holds_with_its_notes() -> None:
    ledger = Ledger()
    directive = Directive("a.conf", 3, "x")
    ledger.expect(directive)
    ledger.expect(directive)
    ledger.mark(directive, Verdict.NO_NEED, "one")
    ledger.carried(directive, "routes 1.x")
    ledger.differs(directive, "two")
    ledger.differs(directive, "three")
    [entry] = ledger.entries()
    assert (entry.verdict, entry.note, entry.where) == (Verdict.DIFFERS, "two; three", ("routes 1.x",))
    ledger.lost(directive, "four")
    assert ledger.entries()[0].note == "four"


def test_the_report_leads_with_what_needs_work_and_tells_each_line() -> None:
    ledger = Ledger()
    lines = [Directive("a.conf", n, f"listen {n}") for n in (1, 2)] + [Directive("a.conf", 3, "gzip \x1b[2J on")]
    for line in lines:
        ledger.expect(line)
        ledger.mark(line, Verdict.DEFAULT, "as always")
    ledger.lost(lines[2], "nothing is compressed")
    ledger.notice("all of it")
    ledger.notice("all of it")
    assert as_text(ledger.entries(), ledger.notices) == [
        "3 directives: 1 lost, 2 default",
        "",
        "lost: not carried, and what to do",
        "  a.conf:3  gzip \\x1b[2J on",
        "      nothing is compressed",
        "",
        "default: splicer does so anyway",
        "  a.conf:1,2  listen 1 and so on",
        "      as always",
        "",
        "for the whole file",
        "  - all of it",
    ]
    assert [each["line"] for each in as_json(ledger.entries(), [])["directives"]] == [1, 2, 3]
    assert summary(()) == "no directive"
