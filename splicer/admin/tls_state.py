"""What the admin process knows of TLS: the profiles that the tls processes have read, and the processes themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from splicer.admin.drain_api import iso
from splicer.admin.supervisor_status import SupervisorStatus
from splicer.ipc.board import Board
from splicer.ipc.tls_messages import CertificateFacts, ProfileFacts, TlsProcessFacts
from splicer.ipc.tls_table import ProcessWord, TlsTable
from splicer.observe.samples import Family, counter, gauge

_NEVER = 253402300799.0  # 9999-12-31, "no well-defined expiration date" (RFC 5280 §4.1.2.5)
_STATES = ("starting", "serving", "leaving")
_GENERATIONS = ("current", "old")


class TlsState:
    """Answers for operators and the scraper.

    Args:
        board: the board.
        facts: the supervisor's last facts.
    """

    def __init__(self, board: Board, facts: SupervisorStatus) -> None:
        self._table = TlsTable(board.tls)
        self._facts = facts
        self._truncated = 0
        self._profiles: dict[tuple[str, str], ProfileFacts] = {}

    def learn(self, facts: ProfileFacts) -> None:
        """Store what was read of a profile."""
        self._profiles[facts.side, facts.name] = facts

    @property
    def _used(self) -> list[ProfileFacts]:
        used = set(self._facts.now.tls_profiles)
        return [facts for key, facts in sorted(self._profiles.items()) if "/".join(key) in used]

    def certificates(self) -> list[dict[str, Any]]:
        """The certificates of all profiles, with what a person needs to know of each."""
        now = time.time()
        return [
            {
                "profile": facts.name,
                "side": facts.side,
                "path": one.path,
                "names": list(one.names),
                "key": one.key,
                "not_before": iso(one.not_before),
                "not_after": iso(one.not_after),
                "days_left": int((one.not_after - now) // 86_400),
                "fingerprint": one.fingerprint,
                "current": facts.fault is None,
                **({} if facts.fault is None else {"fault": facts.fault}),
            }
            for facts in self._used
            for one in facts.certificates
        ]

    def processes(self) -> list[dict[str, Any]]:
        """The tls processes."""
        newest = self._newest
        return [
            {
                "pid": one.pid,
                "state": one.state,
                "generation": "current" if one.generation == newest else "old",
                "connections": self._connections(one),
            }
            for one in self._facts.now.tls_processes
        ]

    @property
    def _newest(self) -> int:
        return max((one.generation for one in self._facts.now.tls_processes), default=0)

    def _connections(self, process: TlsProcessFacts) -> int:
        return self._table.row(process.row)[ProcessWord.CONNECTIONS]

    def metrics(self) -> Iterator[Family]:
        """The gauges, made at a scrape."""
        newest, processes = self._newest, self._facts.now.tls_processes
        family = gauge("splicer_tls_processes", "The tls processes.", labels=("state",))
        states = Counter(process.state for process in processes)
        for state in _STATES:
            family.add((state,), states[state])
        yield family
        family = gauge("splicer_tls_connections", "Connections in tls processes.", labels=("generation",))
        for generation in _GENERATIONS:
            counts = (
                self._connections(one) for one in processes if (one.generation == newest) == (generation == "current")
            )
            family.add((generation,), sum(counts))
        yield family
        yield counter("splicer_tls_restarts", "Tls processes that died.", value=float(self._facts.now.tls_restarts))
        truncated = sum(self._table.row(one.row)[ProcessWord.TRUNCATED] for one in processes)
        self._truncated = max(self._truncated, truncated)
        yield counter(
            "splicer_tls_truncated",
            "Connections whose end came without TLS's own end, of the tls processes that there are.",
            value=float(self._truncated),
        )
        yield from self._of_files()

    def _of_files(self) -> Iterator[Family]:
        ends = gauge(
            "splicer_certificate_not_after_timestamp_seconds",
            "When a certificate in use expires.",
            labels=("profile", "name"),
        )
        sound = gauge(
            "splicer_certificate_reload_success",
            "Whether the files of a profile that are there now are in use.",
            labels=("profile",),
        )
        for facts in self._used:
            for name, certificate in _named(facts.certificates):
                ends.add((facts.name, name), certificate.not_after)
            sound.add((facts.name,), float(facts.fault is None))
        if not self._used:  # a family without a sample looks like one that nobody has
            ends.add(("", ""), _NEVER)
            sound.add(("",), 1.0)
        yield ends
        yield sound


# Two certificates may have the same first name: of those the one that ends first counts.
def _named(certificates: tuple[CertificateFacts, ...]) -> Iterator[tuple[str, CertificateFacts]]:
    first: dict[str, CertificateFacts] = {}
    for one in certificates:
        name = one.names[0] if one.names else one.path
        if name not in first or one.not_after < first[name].not_after:
            first[name] = one
    yield from first.items()
