"""Attempts: the route's upstream, and once its fallback (design §6).

Resolve, connect, send the head, read the response head: each under its own deadline, all under one total.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import trio

from splicer.errors import (
    BadCapture,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    HandshakeTimeout,
    NoDescriptor,
    NoEndpoint,
    PodClosed,
    PodDraining,
    PodError,
    PodReset,
    ResolveTimeout,
    SplicerError,
    UnwantedStatus,
)
from splicer.http1.headers import request_for_pod
from splicer.http1.response import ResponseParser
from splicer.http1.upgrade import verify_upgrade
from splicer.http1.writer import CONTINUE
from splicer.model import AttemptOutcome, Endpoint, Headers, ResponseHead, Upstream, authority
from splicer.net.stream import ByteStream
from splicer.policy.attempts import may_try_again
from splicer.policy.deadlines import AttemptBudget
from splicer.routing.rewrite import target_path
from splicer.routing.template import render_host
from splicer.session.exchange import Exchange
from splicer.session.pod import PodLeg
from splicer.session.stage import Stage
from splicer.upstream.endpoints import Choice, pod_name

_CONTINUE_TIMEOUT = 1.0  # seconds that a pod has to say 100 Continue
_SHARES = 3  # into at most so many the time to connect is split among the addresses of one name
_CONNECT_FAILURES = (ConnectRefused, ConnectFailed, ConnectTimeout)


class Attempts:
    """The attempts of one exchange.

    Args:
        exchange: the request.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._protocol = exchange.protocol
        self._route = exchange.match.route
        self._target = target_path(exchange.match, exchange.head.path, exchange.head.query)
        self._budget = AttemptBudget.start(self._route.deadlines, trio.current_time())
        self._endpoint: Endpoint | None = None
        self._failed: set[tuple[str, int]] = set()
        self._body_began: float | None = None
        self._said_100 = False  # for the pod

    async def run(self) -> tuple[PodLeg, ResponseHead]:
        """The leg that serves the request, and its response head: a verified 101, or a final status.

        Raises:
            PodError: no attempt succeeded; it is the last one's failure.
            BadCapture: what the URL names is no DNS label.
            ClientGone: the client left.
        """
        route = self._route
        assert route.upstream is not None  # noqa: S101 - the caller answers `respond` routes itself
        try:
            return await self._attempt(route.upstream, (), last=route.fallback is None)
        except PodError as failure:
            if route.fallback is None or not self._may_try_again(failure):
                raise
            self._exchange.body.stop()
            pod = pod_name(route.upstream, self._host(route.upstream))
        return await self._attempt(route.fallback, ((b"X-Splicer-Fallback-From", pod.encode()),), last=True)

    def _may_try_again(self, failure: SplicerError) -> bool:
        exchange = self._exchange
        if exchange.answered or self._budget.is_spent(trio.current_time()):
            return False
        return may_try_again(
            failure, exchange.head.method, written=exchange.written, repeatable=exchange.body.repeatable
        )

    async def _attempt(self, upstream: Upstream, extra: Headers, *, last: bool) -> tuple[PodLeg, ResponseHead]:
        record = self._exchange.record
        self._endpoint = None
        record.upstream = upstream.name
        try:
            host = self._host(upstream)
            self._refuse_drained(upstream, host)
            record.target = authority(host, upstream.port) + self._target.partition("?")[0]
            leg, answer = await self._round_trip(upstream, host, extra, last=last)
        except SplicerError as failure:
            self._exchange.release()
            if not isinstance(failure, BadCapture):
                self._note(upstream, failure.reason, failure.detail)
            raise
        except trio.Cancelled:
            self._note(upstream, "abandoned")
            raise
        record.attempts.append(AttemptOutcome(upstream.name, str(leg.endpoint), pod=leg.endpoint.pod))
        record.endpoint = leg.endpoint
        return leg, answer

    def _note(self, upstream: Upstream, failure: str, detail: str | None = None) -> None:
        endpoint = self._endpoint
        where, pod = (None, None) if endpoint is None else (str(endpoint), endpoint.pod)
        self._exchange.record.attempts.append(AttemptOutcome(upstream.name, where, failure, detail, pod))

    def _host(self, upstream: Upstream) -> str:
        return render_host(upstream.host, self._exchange.match.captures)

    async def _round_trip(
        self, upstream: Upstream, host: str, extra: Headers, *, last: bool
    ) -> tuple[PodLeg, ResponseHead]:
        named = authority(host, upstream.port)
        leg = await self._connect(upstream, host, reusable=not self._exchange.own_connection)
        try:
            return leg, await self._handshake(leg, named, extra, last=last)
        except (PodReset, PodClosed):
            leg.close()
            if not leg.reused or leg.heard:
                raise
        except BaseException:
            leg.close()
            raise
        # The pod had closed the idle connection: that says nothing about the pod (RFC 9112 §9.3.1).
        self._failed.discard((leg.endpoint.address, leg.endpoint.port))
        leg = await self._connect(upstream, host, reusable=False)
        try:
            return leg, await self._handshake(leg, named, extra, last=last)
        except BaseException:
            leg.close()
            raise

    # A failed connect to an address from the cache asks for the name again: pods are recreated with new addresses.
    async def _connect(self, upstream: Upstream, host: str, *, reusable: bool) -> PodLeg:
        choice = await self._choose(upstream, host)
        try:
            return await self._dial(choice.endpoints, reusable=reusable)
        except _CONNECT_FAILURES as failure:
            if choice.fresh:
                raise
            try:
                choice = await self._choose(upstream, host, refresh=True)
            except PodError:
                raise failure from None
            return await self._dial(choice.endpoints, reusable=reusable)

    async def _choose(self, upstream: Upstream, host: str, *, refresh: bool = False) -> Choice:
        endpoints = self._exchange.rules.endpoints
        exclude = self._left_out(upstream)
        if not refresh and (at_hand := endpoints.at_hand(upstream, host, exclude)) is not None:
            return at_hand
        parts = self._exchange.record.parts
        started = trio.current_time()
        try:
            with self._stage(self._route.deadlines.resolve, ResolveTimeout, lambda: host):
                choice = await endpoints.choose(upstream, host, exclude=exclude, refresh=refresh)
        finally:
            parts.resolve += trio.current_time() - started
        return choice

    # A drained pod gets no new call. Plain HTTP that names it still goes there: the calls that it has may need that.
    def _refuse_drained(self, upstream: Upstream, host: str) -> None:
        pods = self._exchange.context.drains.pods
        if pods and self._protocol is not None and pod_name(upstream, host) in pods:
            raise PodDraining(f"{pod_name(upstream, host)} is being drained")

    def _left_out(self, upstream: Upstream) -> frozenset[tuple[str, int]]:
        drained = self._exchange.context.drains.endpoints
        if not drained or (upstream.host.captures and self._protocol is None):
            return frozenset(self._failed)
        return drained | self._failed

    async def _dial(self, endpoints: tuple[Endpoint, ...], *, reusable: bool) -> PodLeg:
        exchange, parts = self._exchange, self._exchange.record.parts
        started = trio.current_time()
        try:
            with self._stage(self._route.deadlines.connect, ConnectTimeout, lambda: self._endpoint) as scope:
                for left, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
                    self._endpoint = endpoint
                    self._failed.add((endpoint.address, endpoint.port))
                    exchange.count_at(endpoint)
                    parser = ResponseParser(exchange.head, exchange.rules.limits.head_bytes, protocol=self._protocol)
                    idle = exchange.context.pool.take(endpoint) if reusable else None
                    if idle is not None:
                        return PodLeg(idle, endpoint, parser, reused=True)
                    try:
                        with _share(scope, left):
                            exchange.context.yield_to_relay()
                            stream = await self._open(endpoint)
                            return PodLeg(stream, endpoint, parser, reused=False)
                    except (ConnectRefused, ConnectFailed):
                        if left == 1:
                            raise
        finally:
            parts.connect += trio.current_time() - started
        raise NoEndpoint("no address is left")

    # Idle clients need their descriptors less.
    async def _open(self, endpoint: Endpoint) -> ByteStream:
        context = self._exchange.context
        try:
            return await context.dial(endpoint)
        except NoDescriptor:
            if not await context.idle.free_descriptors():
                raise
        return await context.dial(endpoint)

    async def _handshake(self, leg: PodLeg, named: str, extra: Headers, *, last: bool) -> ResponseHead:
        exchange, deadlines = self._exchange, self._route.deadlines
        started = trio.current_time()
        try:
            with self._stage(deadlines.handshake, HandshakeTimeout, lambda: leg.endpoint) as scope:
                exchange.written = True
                exchange.context.yield_to_relay()
                await leg.send_all(
                    request_for_pod(
                        exchange.head,
                        self._target,
                        forwarding=exchange.forwarding,
                        protocol=self._protocol,
                        extra=extra,
                        authority=named,
                        close=exchange.own_connection,
                    )
                )
                if exchange.nursery is not None:
                    self._start_body(leg, exchange.nursery, scope)
                answer = await self._final_head(leg)
        finally:
            self._start_clock(scope)
            exchange.record.parts.handshake += trio.current_time() - started
        if answer.status == 101 and self._protocol is not None:
            verify_upgrade(exchange.head, answer, self._protocol)
        elif (
            answer.status in self._route.fallback_on and not last and self._may_try_again(UnwantedStatus(answer.status))
        ):
            raise UnwantedStatus(answer.status)
        return answer

    # The pod can't be expected to answer before it has the whole request: its time starts when the body is sent.
    def _start_body(self, leg: PodLeg, nursery: trio.Nursery, handshake: trio.CancelScope) -> None:
        self._body_began = trio.current_time()
        handshake.deadline = math.inf
        self._exchange.body.start(nursery, leg, lambda: self._start_clock(handshake))

    def _start_clock(self, handshake: trio.CancelScope) -> None:
        if self._body_began is not None:
            now = trio.current_time()
            self._budget.pause(now - self._body_began)
            self._body_began = None
            handshake.deadline = self._budget.until(self._route.deadlines.handshake, now)

    async def _final_head(self, leg: PodLeg) -> ResponseHead:
        body, writer = self._exchange.body, self._exchange.writer
        while True:
            answer = await self._next_head(leg)
            if answer.status >= 200 or answer.status == 101:
                return answer
            if answer.status != 100 or not self._said_100:
                await self._inform(writer.informational(answer.status, answer.reason, answer.headers))
            body.asked_for |= answer.status == 100
            await trio.lowlevel.checkpoint()

    # A client may wait for its 100 for ever, and a pod may never say it: RFC 9110 §10.1.1 leaves that to both. In time
    # a pod can still refuse the body by its final answer.
    async def _next_head(self, leg: PodLeg) -> ResponseHead:
        body = self._exchange.body
        if body.is_withheld:
            with trio.move_on_after(_CONTINUE_TIMEOUT):
                return await leg.read_head()
            if body.is_withheld:
                await self._inform(CONTINUE)
                body.asked_for = self._said_100 = True
        return await leg.read_head()

    async def _inform(self, interim: bytes) -> None:
        if interim:
            self._exchange.answered = True  # cut off in the middle, nothing else may follow it
            await self._exchange.client.send_all(interim)
            self._exchange.answered = False

    def _stage(self, seconds: float, late: type[PodError], what: Callable[[], object]) -> Stage:
        return Stage(self._exchange, self._budget, seconds, late, what)


# One address that swallows every packet must leave time for the next one of the same name.
def _share(connect: trio.CancelScope, left: int) -> AbstractContextManager[object]:
    if left == 1:
        return nullcontext()
    now = trio.current_time()
    return trio.move_on_at(now + (connect.deadline - now) / min(left, _SHARES))
