"""Load balancing: the order in which to try the endpoints of an upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from splicer.model import Endpoint


class Balancer:
    """The load of endpoints, counted by one worker.

    Args:
        random: the source for the policy "random".
    """

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()  # noqa: S311  # it spreads load, it keeps no secret
        self._live: dict[tuple[str, int], int] = {}
        self._turns: Counter[str] = Counter()

    def live(self, endpoint: Endpoint) -> int:
        """The number of tunnels and attempts at the endpoint's address now."""
        return self._live.get((endpoint.address, endpoint.port), 0)

    def hold(self, endpoint: Endpoint) -> Hold:
        """Count a tunnel or an attempt while the returned context is open."""
        return Hold(self._live, (endpoint.address, endpoint.port))

    def order(self, upstream_name: str, policy: str, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        """All endpoints in the order in which to try them.

        Args:
            upstream_name: the upstream; turns are counted for each upstream, also if several share endpoints.
            policy: "least-tunnels" (equals take turns), "round-robin" or "random".
            endpoints: in any order, since name servers shuffle their answers.

        Raises:
            ValueError: there is no such policy.
        """
        if len(endpoints) < 2:
            return list(endpoints)
        match policy:
            case "least-tunnels":
                return sorted(self._rotated(upstream_name, endpoints), key=self.live)
            case "round-robin":
                return self._rotated(upstream_name, endpoints)
            case "random":
                return self._random.sample(endpoints, len(endpoints))
            case _:
                raise ValueError(f"no balance policy {policy!r}")

    # Turns need a fixed order of endpoints, because name servers return them in varying order.
    def _rotated(self, upstream_name: str, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        ordered = sorted(endpoints, key=_address)
        turn = self._turns[upstream_name] % len(ordered)
        self._turns[upstream_name] += 1
        return ordered[turn:] + ordered[:turn]


class Hold:
    """One tunnel or attempt at an address. Addresses without any take no memory, because pods come and go."""

    __slots__ = ("_key", "_live")

    def __init__(self, live: dict[tuple[str, int], int], key: tuple[str, int]) -> None:
        self._live = live
        self._key = key

    def __enter__(self) -> None:
        self._live[self._key] = self._live.get(self._key, 0) + 1

    def __exit__(self, *_: object) -> None:
        left = self._live[self._key] - 1
        if left:
            self._live[self._key] = left
        else:
            del self._live[self._key]


def _address(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint.address, endpoint.port
