"""Random plans of the two sides of a tunnel, determined by a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from random import Random

from attrs import evolve, field, frozen

from tests.stress.streams import LARGEST

Steps = Iterator[tuple[float, int]]  # seconds to wait, then bytes to send
Pauses = Iterator[tuple[int, float]]  # bytes to receive, then seconds to receive nothing
_FRAME_INTERVAL = 0.02  # seconds


class Shutdown(Enum):
    """The end of a side that has sent everything."""

    EOF = "half-close, and close when the other side has ended"
    STAY = "nothing, until the other side ends"
    CLOSE = "having received everything, close at once behind the last byte"


@frozen
class Part:
    """The plan of one side.

    Args:
        steps: pauses and bytes to send.
        early: the number of bytes that are sent together with its head, before the steps.
        pauses: when it stops reading.
        ending: how it ends.
        reset_after: seconds after which it closes with a reset, whatever is under way.
        narrow: small segments and buffers, so that unread bytes soon fill all buffers on the path.
        thinks: seconds before a pod sends its 101.
    """

    steps: Steps
    early: int = 0
    pauses: Pauses = field(factory=lambda: iter(()))
    ending: Shutdown = Shutdown.EOF
    reset_after: float = math.inf
    narrow: bool = False
    thinks: float = 0.0


@frozen
class Plan:
    """The plan of a tunnel."""

    behaviour: str
    client: Part
    pod: Part


def paced(rng: Random, seconds: float) -> Steps:
    """Voice: a small frame every 20 ms."""
    for _ in range(int(seconds / _FRAME_INTERVAL)):
        yield _FRAME_INTERVAL, rng.randint(160, 640)


def bursts(rng: Random, seconds: float) -> Steps:
    """Pieces from one byte to 256 KiB, with pauses of any length or none."""
    while seconds > 0:
        wait = rng.choice((0.0, 0.01, 0.1, 0.5, 1.0)) * rng.random()
        seconds -= wait + 0.01
        yield wait, _any_size(rng)


def bulk(rng: Random, total: int) -> Steps:
    """Bytes at full speed."""
    while total > 0:
        size = min(total, rng.randint(LARGEST // 4, LARGEST))
        total -= size
        yield 0.0, size


def draw(rng: Random, seconds: float = 8.0) -> Plan:
    """A plan of any behaviour.

    Args:
        rng: decides.
        seconds: the longest life of a tunnel; slow ones last a little longer.
    """
    name = rng.choices(list(_BEHAVIOURS), [weight for _, weight in _BEHAVIOURS.values()])[0]
    plan = _BEHAVIOURS[name][0](rng, rng.uniform(0.3, 1.0) * seconds)
    return evolve(plan, behaviour=name, client=_hasty(rng, plan.client), pod=_hasty(rng, plan.pod))


def draw_short(rng: Random) -> Plan:
    """A short call with bytes in both directions at once, for `Storm.churn`."""
    seconds = rng.uniform(0.0, 0.4)
    client = Part(paced(_own(rng), seconds), early=rng.choice((0, 0, 1, 160, 5000)))
    pod = Part(paced(_own(rng), seconds), early=rng.choice((1, 160, 640, 20_000)), thinks=_thought(rng))
    return Plan("churn", client, pod)


def _hasty(rng: Random, part: Part) -> Part:
    """Have some sides send bytes together with their head, whatever their behaviour."""
    return evolve(part, early=part.early or rng.choice((0, 0, 160, _any_size(rng) // 4)), thinks=_thought(rng))


def _thought(rng: Random) -> float:
    return rng.choice((0.0, 0.0, 0.05)) * rng.random()


def _any_size(rng: Random) -> int:
    return int(2 ** rng.uniform(0, math.log2(LARGEST)))


def _own(rng: Random) -> Random:
    """Two random sources: both sides draw from theirs at run time in no fixed order, so each needs its own."""
    return Random(rng.random())


def _talk(rng: Random, seconds: float) -> Part:
    kind = rng.choice((paced, bursts))
    return Part(kind(_own(rng), seconds * rng.uniform(0.5, 1.0)))


def _lag(rng: Random, seconds: float) -> Pauses:
    """Mostly small reads: after large reads the kernel's buffers on the path hold more."""
    while seconds > 0:
        pause = rng.uniform(0.05, 1.2)
        seconds -= pause
        yield int(rng.choice((0, 2_000, 10_000, 10_000, 150_000)) * rng.random()), pause


def _pair(mine: Part, other: Part, *, client: bool) -> Plan:
    return Plan("", mine, other) if client else Plan("", other, mine)


def _paced(rng: Random, seconds: float) -> Plan:
    return Plan("", Part(paced(_own(rng), seconds)), Part(paced(_own(rng), seconds)))


def _bursts(rng: Random, seconds: float) -> Plan:
    return Plan("", Part(bursts(_own(rng), seconds)), Part(bursts(_own(rng), seconds)))


def _bulk(rng: Random, _: float) -> Plan:
    sizes = [int(rng.uniform(0, 1) ** 2 * 3_000_000) for _ in range(2)]
    return Plan("", Part(bulk(_own(rng), sizes[0])), Part(bulk(_own(rng), sizes[1])))


def _slow(rng: Random, seconds: float, *, client: bool) -> Plan:
    """The bytes of one side wait on the path, in socket buffers and parked in a pipe."""
    pauses = _lag(_own(rng), seconds * 0.7)
    reader = evolve(_talk(rng, seconds), pauses=pauses, narrow=True)
    return _pair(reader, Part(bulk(_own(rng), rng.randint(400_000, 2_500_000))), client=client)


def _half_close(rng: Random, seconds: float, *, client: bool) -> Plan:
    """One side has sent everything long before the other."""
    first = _talk(rng, seconds * rng.uniform(0.0, 0.4))
    return _pair(first, _talk(rng, seconds), client=client)


def _reset(rng: Random, seconds: float, *, client: bool) -> Plan:
    """One side resets at any moment; the other may notice it late."""
    gone = evolve(_talk(rng, seconds * 2), reset_after=rng.uniform(0.0, seconds / 2))
    other = _talk(rng, seconds * 2)
    if rng.random() < 0.3:
        other = evolve(other, pauses=_lag(_own(rng), seconds / 4), narrow=True)
        gone = evolve(gone, steps=bulk(_own(rng), 50_000_000))
    return _pair(gone, other, client=client)


def _last_byte(rng: Random, seconds: float, *, client: bool) -> Plan:
    """One side hangs up with its last byte, while that is still under way."""
    closer = evolve(_talk(rng, seconds), ending=Shutdown.CLOSE)
    other = evolve(_talk(rng, seconds * rng.random()), ending=Shutdown.STAY)
    return _pair(closer, other, client=client)


def _hasty_pod(rng: Random, seconds: float) -> Plan:
    return Plan("", _talk(rng, seconds), evolve(_talk(rng, seconds), early=1 + _any_size(rng) // 4))


def _early_client(rng: Random, seconds: float) -> Plan:
    return Plan("", evolve(_talk(rng, seconds), early=1 + _any_size(rng) // 4), _talk(rng, seconds))


Behaviour = Callable[[Random, float], Plan]
_BEHAVIOURS: dict[str, tuple[Behaviour, int]] = {
    "paced": (_paced, 3),
    "bursts": (_bursts, 1),
    "bulk": (_bulk, 1),
    "slow client": (lambda rng, seconds: _slow(rng, seconds, client=True), 2),
    "slow pod": (lambda rng, seconds: _slow(rng, seconds, client=False), 2),
    "half-close by client": (lambda rng, seconds: _half_close(rng, seconds, client=True), 1),
    "half-close by pod": (lambda rng, seconds: _half_close(rng, seconds, client=False), 1),
    "reset by client": (lambda rng, seconds: _reset(rng, seconds, client=True), 1),
    "reset by pod": (lambda rng, seconds: _reset(rng, seconds, client=False), 1),
    "last byte by client": (lambda rng, seconds: _last_byte(rng, seconds, client=True), 1),
    "last byte by pod": (lambda rng, seconds: _last_byte(rng, seconds, client=False), 1),
    "hasty pod": (_hasty_pod, 1),
    "early client": (_early_client, 1),
}
BEHAVIOURS = tuple(_BEHAVIOURS)
