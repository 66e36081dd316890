"""The slices of one namespace as they were heard of."""

from __future__ import annotations

from splicer.discovery.failures import ApiFailure
from splicer.policy.slices import EndpointSlice

# Endpoints, ports and slices of a namespace, together: three times what the snapshot has room for. Whoever may write
# slices must not be able to fill the memory of the container, which calls need.
_MOST = 50_000


class SliceTable:
    """Slices by their uid, in the order in which they were heard of."""

    def __init__(self) -> None:
        self._slices: dict[str, EndpointSlice] = {}
        self._size = 0

    def put(self, slice_: EndpointSlice) -> set[str]:
        """Keep a slice instead of its earlier state; return the Services that have changed.

        Raises:
            ApiFailure: there is too much to keep.
        """
        before = self._slices.pop(slice_.uid, None)
        self._size += _size(slice_) - _size(before)
        if self._size > _MOST:
            raise ApiFailure("garbage", f"more than {_MOST} endpoints and ports in one namespace")
        self._slices[slice_.uid] = slice_
        return {slice_.service} if before is None else {before.service, slice_.service}

    def drop(self, slice_: EndpointSlice) -> set[str]:
        """Forget a slice; return the Services that have changed."""
        before = self._slices.pop(slice_.uid, None)
        self._size -= _size(before)
        return set() if before is None else {before.service}

    def of(self, service: str) -> tuple[EndpointSlice, ...]:
        """The slices of a Service, the one that was heard of last at the end."""
        return tuple(each for each in self._slices.values() if each.service == service)


def _size(slice_: EndpointSlice | None) -> int:
    return 0 if slice_ is None else 1 + len(slice_.endpoints) + len(slice_.ports)
