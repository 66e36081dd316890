"""Calls that are always there while the demo runs, so that there is something to see."""

from __future__ import annotations

import random
from itertools import count

import trio

from splicer.demo.call import FRAMES_PER_SECOND, place_call
from splicer.demo.failure import ENDS_ONE_CALL
from splicer.demo.places import PODS

_SHORTEST, _LONGEST = 20, 90  # seconds that a call lasts
_AFTER_A_CALL = 1.0  # seconds until the next one
_AFTER_A_FAILURE = 5.0  # seconds; an edge that drains refuses all of them


async def keep_calls(edge: str, calls: int) -> None:
    """Keep calls alive, spread over the pods, until cancelled. One that ends, however it does, is begun anew.

    Args:
        edge: the edge's address.
        calls: how many.
    """
    async with trio.open_nursery() as nursery:
        for number in range(calls):
            nursery.start_soon(_keep_one, edge, number)


async def _keep_one(edge: str, number: int) -> None:
    pods = list(PODS)
    for turn in count():
        pod = pods[(number + turn) % len(pods)]
        rest = _AFTER_A_CALL
        try:
            async with place_call(f"ws://{edge}/ws/pod/{pod}/caller-{number + 1}") as call:
                await call.speak(FRAMES_PER_SECOND * random.randint(_SHORTEST, _LONGEST))  # noqa: S311 - no secret
        except ENDS_ONE_CALL:
            rest = _AFTER_A_FAILURE
        await trio.sleep(rest)
