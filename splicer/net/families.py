"""A and AAAA queries sent at once and merged into one answer (RFC 8305 §3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from splicer.errors import ResolveFailed
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import Records

RESOLUTION_DELAY_SECONDS = 0.05  # seconds that a family's answer waits for the other's (RFC 8305 §3)

Ask = Callable[[str, RdataType], Awaitable[Records]]
_Outcomes = dict[RdataType, Records | ResolveFailed]


async def ask_families(name: str, kinds: Sequence[RdataType], ask: Ask) -> Records:
    """Look up a name in all address families.

    A family that fails or is slow does not spoil the other's addresses: once one family has addresses, or NXDOMAIN, the
    others have `RESOLUTION_DELAY_SECONDS` left. An empty answer of one family decides nothing before the others have
    answered.

    Args:
        name: absolute.
        kinds: record types, in the order in which their addresses are returned.
        ask: puts one question to the name servers.

    Raises:
        ResolveFailed: no family has addresses, and at least one has failed.
    """
    outcomes: _Outcomes = {}
    async with trio.open_nursery() as nursery:
        for kind in kinds:
            nursery.start_soon(_ask_one, name, kind, ask, outcomes, nursery.cancel_scope)
    return _merge(kinds, outcomes)


async def _ask_one(name: str, kind: RdataType, ask: Ask, outcomes: _Outcomes, others: trio.CancelScope) -> None:
    try:
        records = await ask(name, kind)
    except ResolveFailed as error:
        outcomes[kind] = error.with_traceback(None)  # the traceback's frames hold `outcomes`: a reference cycle
        return
    outcomes[kind] = records
    if records.addresses or not records.exists:
        others.deadline = min(others.deadline, trio.current_time() + RESOLUTION_DELAY_SECONDS)


def _merge(kinds: Sequence[RdataType], outcomes: _Outcomes) -> Records:
    known = [outcomes[kind] for kind in kinds if kind in outcomes]
    answers = [outcome for outcome in known if isinstance(outcome, Records)]
    found = [answer for answer in answers if answer.addresses]
    if found:
        addresses = tuple(address for answer in found for address in answer.addresses)
        return Records(addresses, min(answer.ttl for answer in found))
    exists = all(answer.exists for answer in answers)
    if len(answers) == len(kinds) or not exists:
        return Records((), min(answer.ttl for answer in answers), exists)
    failure = next(outcome for outcome in known if isinstance(outcome, ResolveFailed))
    raise type(failure)(*failure.args)  # raising `failure` itself would make a cycle: its traceback holds this frame
