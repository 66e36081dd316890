"""What a reflector tells of a namespace, and whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from splicer.policy.slices import EndpointSlice

LIST_REASONS = ("start", "gone", "silence", "error")
EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


class Store(Protocol):
    """Is told what is found; no method may wait or raise."""

    def replaced(self, namespace: str, services: Mapping[str, tuple[EndpointSlice, ...]]) -> None:
        """These are all slices of all Services asked for; a Service without any doesn't exist."""
        ...

    def changed(self, namespace: str, service: str, slices: tuple[EndpointSlice, ...]) -> None:
        """These are all slices of one Service, the one that was heard of last at the end; none: it was deleted."""
        ...

    def synced(self, namespace: str) -> None:
        """What was told is current, for the first time or again."""
        ...

    def lost(self, namespace: str, reason: str) -> None:
        """What was told may not be current any more, or nothing could be told since the start.

        Args:
            namespace: whose slices.
            reason: one of `failures.REASONS`.
        """
        ...

    def denied(self, namespace: str, status: int, message: str) -> None:
        """The server refuses the token (401) or what is asked (403); told once, until it is synced again."""
        ...

    def failed(self, namespace: str, reason: str, message: str) -> None:
        """An attempt has failed; `reason` is one of `failures.REASONS`."""
        ...

    def listed(self, namespace: str, reason: str) -> None:
        """A list begins; `reason` is one of `LIST_REASONS`."""
        ...

    def heard(self, namespace: str, event: str) -> None:
        """An event of a watch; `event` is one of `EVENT_TYPES`."""
        ...
