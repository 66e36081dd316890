"""What is declared as a difference, and what is not."""

from __future__ import annotations

from tests.parity.differences import Difference, Ledger

SLASH = Difference("slash", "nginx", "status", "^GET /a ", "301", "404|200", "why")


def test_an_undeclared_difference_is_told() -> None:
    ledger = Ledger([SLASH])
    assert ledger.undeclared("nginx", "GET /a -H", {"status": "301"}, {"status": "404"}) == []
    assert ledger.undeclared("nginx", "GET /a -H", {"status": "301"}, {"status": "500"}) != []
    assert ledger.undeclared("nginx", "GET /b -H", {"status": "301"}, {"status": "404"}) != []
    assert ledger.undeclared("envoy", "GET /a -H", {"status": "301"}, {"status": "404"}) != []
    assert ledger.undeclared("nginx", "GET /a -H", {"status": "1", "pod": "x"}, {"status": "1"}) == [
        ("pod: 'x' there, '' here", "GET /a -H")
    ]


def test_one_that_does_not_occur_is_not_seen() -> None:
    ledger = Ledger([SLASH])
    ledger.undeclared("nginx", "GET /a -H", {"status": "200"}, {"status": "200"})
    assert ledger.seen == set()
    ledger.undeclared("nginx", "GET /a -H", {"status": "301"}, {"status": "200"})
    assert ledger.seen == {"slash"}


def test_each_has_a_reason() -> None:
    assert all(each.reason for each in Ledger().declared)
