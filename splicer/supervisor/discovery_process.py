"""The supervisor's part for the discovery process, which is there only while the configuration needs it."""

from __future__ import annotations

from typing import Any

from splicer.ipc.message import Request
from splicer.ipc.messages import Discover, DiscoveryReport, Report
from splicer.supervisor.launch import DISCOVERY
from splicer.supervisor.side_process import SideProcess


class DiscoveryProcess(SideProcess):
    """Keeps the discovery process alive; what it has published outlives it."""

    REPORTS = DiscoveryReport
    MODULE = DISCOVERY
    ATTEND = Report

    def _serve(self, request: int) -> tuple[Request, tuple[int, ...]]:
        return Discover(request), ()

    def _log_death(self, **fields: Any) -> None:
        self._log("discovery_died", level="error", **fields)
