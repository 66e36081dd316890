"""Keeps up with the EndpointSlices of some Services of one namespace: list, then watch, and again for ever.

The rules are those of client-go (tools/cache/reflector.go), with what a real API server was seen to do
(tests/discovery/wire.txt): `rules.py` has what follows from each failure.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NoReturn
from urllib.parse import quote

import trio

from splicer.discovery.answers import error_event, json_object, refusal, slice_of, version_of
from splicer.discovery.api import LARGEST_BODY, Answer, Api
from splicer.discovery.failures import ApiFailure, Refused
from splicer.discovery.health import Health
from splicer.discovery.rules import Effect, Rules, Verdict
from splicer.discovery.slice_table import SliceTable
from splicer.discovery.store import EVENT_TYPES, LIST_REASONS, Store
from splicer.policy.json_fields import items, mapping, text
from splicer.policy.slices import SERVICE_LABEL

_REQUEST_TIMEOUT = 30.0  # seconds for a whole list, and for the head of a watch
_WATCH_SECONDS = (300.0, 600.0)  # a watch is asked to end after so long, so that not all clients come again at once
_SHORT_SECONDS = 1.0  # a watch that ends before that, without an event, is a failure
# Two bookmarks and a half. The server says nothing, and no error, to a watch that begins at a version of the future
# (its storage may be an older one), so that what is known must be listed again.
_SILENCE_TIMEOUT = 150.0
_LARGEST_REFUSAL = 64 * 1024  # bytes that are read of it
_PAGES = 1000  # of one list; we ask for no pages, so a server that makes more than these is broken


class Reflector:
    """One namespace's.

    Args:
        namespace: where the Services are.
        services: their names, at least one.
        api: the API server.
        store: is told what is found.
        rng: draws pauses.
    """

    def __init__(
        self, namespace: str, services: Collection[str], api: Api, store: Store, rng: random.Random | None = None
    ) -> None:
        self._namespace = namespace
        self._services = tuple(sorted(services))
        self._target = _target(namespace, self._services)
        self._api = api
        self._store = store
        self._random = rng or random.Random()  # noqa: S311 - pauses, no secrets
        self._rules = Rules(self._random)
        self._health = Health(self._synced, lambda reason: store.lost(namespace, reason))
        self._denied = False
        self._table = SliceTable()
        self._version = ""

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._health.run)
            await self._follow()
        raise AssertionError("unreachable: it is cancelled")

    async def _follow(self) -> NoReturn:
        reason: str | None = "start"  # of the list that is due; None: a watch is
        while True:
            try:
                if reason is not None:
                    await self._list(reason)
                    reason = None
                else:
                    await self._watch()
            except ApiFailure as failure:
                verdict = self._judge(failure)
                if verdict.list:
                    reason = failure.reason if failure.reason in LIST_REASONS else "error"
                pause = verdict.pause
            else:
                pause = 0.0
            await trio.sleep(pause)

    def _judge(self, failure: ApiFailure) -> Verdict:
        self._store.failed(self._namespace, failure.reason, str(failure))
        verdict = self._rules.after(failure, trio.current_time())
        if verdict.effect is Effect.FAILING:
            self._health.failing(failure.reason)
        elif verdict.effect is not Effect.NONE:
            self._health.lost(failure.reason)
        if verdict.effect is Effect.DENIED and not self._denied and isinstance(failure, Refused):
            self._denied = True
            self._store.denied(self._namespace, failure.status, str(failure))
        return verdict

    def _good(self) -> None:
        self._rules.succeeded()
        self._denied = False
        self._health.good()

    def _synced(self) -> None:
        self._store.synced(self._namespace)

    async def _list(self, reason: str) -> None:
        self._store.listed(self._namespace, reason)
        found = SliceTable()
        with trio.move_on_after(_REQUEST_TIMEOUT) as scope:
            target, left = self._target, LARGEST_BODY
            for _ in range(_PAGES):
                body = await self._page(target, left)
                left -= len(body)
                listed = json_object(body)
                for thing in items(listed.get("items")):
                    found.put(slice_of(thing))
                    await trio.lowlevel.checkpoint()  # the heartbeat goes on, however many there are
                metadata = mapping(listed.get("metadata"))
                more = text(metadata.get("continue"))
                if more is None:
                    break
                target = f"{self._target}&continue={quote(more, safe='')}"
            else:
                raise ApiFailure("garbage", f"a list of more than {_PAGES} pages")
        if scope.cancelled_caught:
            raise ApiFailure("timeout", f"no whole list within {_REQUEST_TIMEOUT:.0f} s")
        self._version = version_of(listed)
        self._table = found
        self._store.replaced(self._namespace, {service: self._table.of(service) for service in self._services})
        self._good()

    async def _page(self, target: str, largest: int) -> bytes:
        answer = await self._api.get(target)
        try:
            if answer.status != 200:
                raise await _refusal(answer)
            return await answer.body(largest)
        finally:
            await answer.aclose()

    async def _watch(self) -> None:
        seconds = round(self._random.uniform(*_WATCH_SECONDS))
        begin = f"&watch=true&allowWatchBookmarks=true&resourceVersion={quote(self._version)}&timeoutSeconds={seconds}"
        answer: Answer | None = None
        try:
            with trio.move_on_after(_REQUEST_TIMEOUT) as scope:
                answer = await self._api.get(self._target + begin)
                if answer.status != 200:
                    raise await _refusal(answer)
            if answer is None or scope.cancelled_caught:
                raise ApiFailure("timeout", f"no answer within {_REQUEST_TIMEOUT:.0f} s")
            await self._hear(answer)
        finally:
            if answer is not None:
                await answer.aclose()

    async def _hear(self, answer: Answer) -> None:
        """Follow a watch to its end."""
        works_at = trio.current_time() + _SHORT_SECONDS
        works = False
        while True:
            with trio.move_on_at(trio.current_time() + _SILENCE_TIMEOUT if works else works_at) as scope:
                line = await answer.line()
            if scope.cancelled_caught:
                if works:
                    raise ApiFailure("silence", f"neither an event nor a bookmark within {_SILENCE_TIMEOUT:.0f} s")
                news = True
            elif line is None:
                break
            else:
                news = self._take(line)
            if news and not works:
                works = True
                self._good()
        if not works:
            raise ApiFailure("short", f"a watch without an event ended within {_SHORT_SECONDS:.0f} s")

    def _take(self, line: bytes) -> bool:
        """Take an event; return whether it is about a slice."""
        event = json_object(line)
        kind, thing = text(event.get("type")), mapping(event.get("object"))
        if kind == "ERROR":
            raise error_event(thing)
        if kind is None or kind not in EVENT_TYPES:
            raise ApiFailure("garbage", f"an event of the type {kind!r:.40}")
        version = version_of(thing)
        if kind != "BOOKMARK":
            slice_ = slice_of(thing)
            changed = self._table.drop(slice_) if kind == "DELETED" else self._table.put(slice_)
            for service in changed.intersection(self._services):
                self._store.changed(self._namespace, service, self._table.of(service))
        self._version = version
        self._store.heard(self._namespace, kind)
        return kind != "BOOKMARK"


def _target(namespace: str, services: tuple[str, ...]) -> str:
    selector = f"{SERVICE_LABEL}={services[0]}" if len(services) == 1 else f"{SERVICE_LABEL} in ({','.join(services)})"
    path = f"/apis/discovery.k8s.io/v1/namespaces/{quote(namespace, safe='')}/endpointslices"
    return f"{path}?labelSelector={quote(selector, safe='')}"


async def _refusal(answer: Answer) -> Refused:
    try:
        body = await answer.body(_LARGEST_REFUSAL)
    except ApiFailure:
        body = b""
    return refusal(answer.status, body, answer.retry_after)
