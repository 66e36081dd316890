"""The slices of one namespace as they were heard of."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.policy.slices import EndpointSlice


class SliceTable:
    """Slices by their uid, in the order in which they were heard of."""

    def __init__(self) -> None:
        self._slices: dict[str, EndpointSlice] = {}

    def replace(self, slices: Iterable[EndpointSlice]) -> None:
        """These are all."""
        self._slices = {each.uid: each for each in slices}

    def put(self, slice_: EndpointSlice) -> set[str]:
        """Keep a slice instead of its earlier state; return the Services that have changed."""
        before = self._slices.pop(slice_.uid, None)
        self._slices[slice_.uid] = slice_
        return {slice_.service} if before is None else {before.service, slice_.service}

    def drop(self, slice_: EndpointSlice) -> set[str]:
        """Forget a slice; return the Services that have changed."""
        before = self._slices.pop(slice_.uid, None)
        return set() if before is None else {before.service}

    def of(self, service: str) -> tuple[EndpointSlice, ...]:
        """The slices of a Service, the one that was heard of last at the end."""
        return tuple(each for each in self._slices.values() if each.service == service)
