"""Which of a Service's endpoints may get a request, and which of them only if the others are of no use."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import Enum, auto

from attrs import frozen

from splicer.policy.endpoint_flags import EJECTED, READY, SERVING, TERMINATING, UNHEALTHY, KnownEndpoint, Verdict

Key = tuple[str, int]  # address and port
Verdicts = Mapping[Key, Verdict]


class Purpose(Enum):
    """What a request wants of a pod that it names."""

    REQUEST = auto()  # plain HTTP: a pod that is about to end needs the requests of its live calls
    CALL = auto()  # an upgrade
    CALL_OR_FALLBACK = auto()  # an upgrade, which the route's fallback can serve at once


@frozen
class Tiers:
    """Endpoints in two tiers.

    Args:
        endpoints: all that may be tried.
        behind: the addresses and ports of those to try after the others.
        lapses: when `behind` may change by itself, on the monotonic clock; `math.inf`: never.
    """

    endpoints: tuple[KnownEndpoint, ...]
    behind: frozenset[Key] = frozenset()
    lapses: float = math.inf


def unfit(verdict: Verdict | None, now: float) -> int:
    """Why an endpoint should not get a call: EJECTED or UNHEALTHY; 0: it may.

    Verdicts lapse by themselves, for the process that reached them may be dead.

    Args:
        verdict: what is known of it.
        now: on the monotonic clock, seconds.
    """
    if verdict is None:
        return 0
    if verdict.flags & EJECTED and now < verdict.until:
        return EJECTED
    return UNHEALTHY if verdict.flags & UNHEALTHY and now < verdict.lapses else 0


def lapse(verdict: Verdict | None, now: float) -> float:
    """When `unfit` will say something else of the same verdict; `math.inf`: never."""
    reason = unfit(verdict, now)
    if verdict is None or not reason:
        return math.inf
    return verdict.until if reason == EJECTED else verdict.lapses


def of_service(known: Collection[KnownEndpoint], verdicts: Verdicts, now: float) -> Tiers:
    """Those that a request without a pod's name may go to.

    Those that are ready; without any, those that still serve though they terminate (as kube-proxy does). The unfit ones
    are tried last, and never left out. If fewer than half are fit, verdicts are ignored (Envoy's panic threshold): else
    a health check that a deploy broke would have the last few pods take all calls.

    Args:
        known: the Service's endpoints.
        verdicts: by address and port.
        now: on the monotonic clock, seconds.
    """
    able = tuple(each for each in known if each.flags & READY)
    if not able:
        able = tuple(each for each in known if each.flags & SERVING and each.flags & TERMINATING)
    if not verdicts:
        return Tiers(able)
    behind, lapses = set(), math.inf
    for each in able:
        key = each.address, each.port
        verdict = verdicts.get(key)
        if unfit(verdict, now):
            behind.add(key)
            lapses = min(lapses, lapse(verdict, now))
    return Tiers(able, heeded(frozenset(behind), len(able)), lapses)


def heeded(behind: frozenset[Key], count: int) -> frozenset[Key]:
    """Those to try last: the unfit ones of so many endpoints, but none if fewer than half are fit; see `of_service`."""
    return behind if 2 * len(behind) <= count else frozenset()


def of_pod(named: Collection[KnownEndpoint], purpose: Purpose) -> tuple[KnownEndpoint, ...]:
    """Those of one pod, which may have one for each address family, that a request may go to; ready ones come first."""
    if purpose is not Purpose.REQUEST:
        named = [each for each in named if each.flags & (READY | SERVING)]
    return tuple(sorted(named, key=lambda each: not each.flags & READY))
