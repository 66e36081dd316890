"""Connects to several endpoints of one name, staggered: the first connection that is made wins (RFC 8305 §5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import trio
from attrs import define, field

from splicer.errors import ConnectFailed, ConnectRefused, NoDescriptor, SplicerError
from splicer.model import Endpoint
from splicer.net.dial import Wait
from splicer.upstream.balance import Balancer, Hold
from splicer.upstream.pod import PodLeg
from splicer.upstream.reachability import key_of

STAGGER = 0.25  # seconds between the starts of two connects: the delay that RFC 8305 §5 recommends
MOST = 3  # connects under way


class RaceOver(Exception):
    """Ends the wait of the first connect, which has not won.

    Args:
        race: the race, which knows how it ended.
    """

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.race = race


@define(eq=False)
class _Runner:
    """One connect. `hold` counts it at its endpoint; `over` is set at its end."""

    endpoint: Endpoint
    hold: Hold
    since: float
    doubtful: bool = False
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    over: trio.Event = field(factory=trio.Event)


class Race:
    """Connects under way; `run` begins it when the first one has waited for `delay`.

    An address that drops every packet would keep others waiting: the fourth connect ends the first one, and so on. One
    that says nothing for `delay` is doubtful for all calls (`upstream.reachability`), and has failed nowhere else. The
    next is what is best known by then; one that another call or a probe has just connected to is dialled at once.

    Args:
        dial: opens a connection, and waits for it as long as it takes.
        balancer: knows which endpoints can be reached.
        delay: seconds between two starts.
        show: called with the endpoint that the attempt is at: the newest one under way, or else the last one to fail.
        take: counts a connect while it lasts; None: the endpoint is full, and is left out.
        tell: called with each endpoint that refused the connection or could not be reached, and the reason.
    """

    def __init__(
        self,
        dial: Callable[[Endpoint], Awaitable[PodLeg]],
        balancer: Balancer,
        delay: float,
        show: Callable[[Endpoint], None],
        take: Callable[[Endpoint], Hold | None],
        tell: Callable[[Endpoint, str], None],
    ) -> None:
        self._dial = dial
        self._balancer = balancer
        self._delay = delay
        self._show = show
        self._take = take
        self._tell = tell
        self._runners: list[_Runner] = []  # under way, the oldest first
        self._left: dict[int, Endpoint] = {}  # to be dialled, by key
        self._heard = False  # that one of them is well
        self._go_on = trio.Semaphore(0)  # each failure starts one connect, and so does good news
        self._failure: SplicerError | None = None
        self._leg: PodLeg | None = None  # the winner's; the first connect has none yet
        self.winner: _Runner | None = None
        self.outrun: list[Endpoint] = []  # were under way when another won

    async def run(self, first: Endpoint, hold: Hold, wait: Wait, others: Iterable[Endpoint]) -> None:
        """Dial the others, until one is connected or all have failed; `winner` says how it ended.

        Args:
            first: the endpoint whose connect has begun `delay` ago.
            hold: its count.
            wait: awaits its connection.
            others: the endpoints to dial, in this order.
        """
        self._left = {key_of(endpoint): endpoint for endpoint in others}
        reachability = self._balancer.reachability
        try:
            with reachability.listening(self._hear):
                async with trio.open_nursery() as nursery:
                    self._start(nursery, _Runner(first, hold, trio.current_time() - self._delay), wait)
                    self._doubt(*self._runners)
                    reachability.survey((first, *self._left.values()))
                    await self._dial_others(nursery)
        except BaseExceptionGroup as group:  # several tasks were cancelled, and the caller expects one Cancelled
            if group.split(trio.Cancelled)[1] is not None:
                self._discard()
                raise
        if self.winner is None:
            await trio.lowlevel.checkpoint_if_cancelled()

    async def _dial_others(self, nursery: trio.Nursery) -> None:
        while self._left:
            if len(self._runners) >= MOST:
                self._runners[0].scope.cancel()
                await self._runners[0].over.wait()
            if nursery.cancel_scope.cancel_called:  # just now, and this task was to run already
                break
            if not self._start_dial(nursery, self._next()):
                continue
            with trio.move_on_after(self._delay):
                await self._go_on.acquire()
            self._doubt(*self._runners)

    def _next(self) -> Endpoint:
        best = self._balancer.reachability.best(tuple(self._left.values()), self._balancer.live)
        del self._left[key_of(best)]
        self._heard = False
        return best

    def _hear(self, key: int) -> None:
        if key in self._left and not self._heard and self.winner is None:
            self._heard = True
            self._go_on.release()

    def _doubt(self, *runners: _Runner) -> None:
        now = trio.current_time()
        for runner in runners:
            if not runner.doubtful and now - runner.since >= self._delay:
                runner.doubtful = True
                self._balancer.reachability.silent(runner.endpoint)

    def result(self) -> PodLeg:
        """The winner's connection, unless it is the first one's.

        Raises:
            PodError: all have failed; it is the last one's failure.
            NoDescriptor: the process has no descriptor left.
        """
        if self._leg is not None:
            return self._leg
        raise self._take_failure()

    # No variable of a frame that it is raised through may have it: that would be a cycle.
    def _take_failure(self) -> SplicerError:
        failure, self._failure = self._failure, None
        assert failure is not None  # noqa: S101 - nobody has won
        return failure

    def _start_dial(self, nursery: trio.Nursery, endpoint: Endpoint) -> bool:
        hold = self._take(endpoint)
        if hold is None:
            return False
        self._start(nursery, _Runner(endpoint, hold, trio.current_time()), partial(self._dial, endpoint))
        self._show(endpoint)
        return True

    def _start(self, nursery: trio.Nursery, runner: _Runner, connect: Callable[[], Awaitable[PodLeg | None]]) -> None:
        self._runners.append(runner)
        nursery.start_soon(self._connect, runner, connect, nursery.cancel_scope)

    async def _connect(
        self, runner: _Runner, connect: Callable[[], Awaitable[PodLeg | None]], race: trio.CancelScope
    ) -> None:
        failed = False
        try:
            with runner.scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                self._connected(runner, await connect(), race)
        except (ConnectRefused, ConnectFailed) as failure:
            failed = True
            self._tell(runner.endpoint, failure.reason)
            self._failure = failure.with_traceback(None)  # its frames hold this race: a cycle
        except NoDescriptor as failure:
            self._failure = failure.with_traceback(None)
            race.cancel()
        finally:
            self._end(runner, failed=failed)

    def _connected(self, runner: _Runner, leg: PodLeg | None, race: trio.CancelScope) -> None:
        if self.winner is None:
            self.winner, self._leg = runner, leg
            self._balancer.reachability.connected(runner.endpoint)
            self._show(runner.endpoint)
            race.cancel()
        elif leg is not None:
            leg.close()

    def _end(self, runner: _Runner, *, failed: bool) -> None:
        self._runners.remove(runner)
        runner.over.set()
        if runner is self.winner:
            return
        runner.hold.drop()
        if failed:
            self._balancer.reachability.failed(runner.endpoint)
            self._go_on.release()
            if self.winner is None:
                self._show(self._runners[-1].endpoint if self._runners else runner.endpoint)
            return
        self._doubt(runner)
        if self.winner is not None:
            self.outrun.append(runner.endpoint)

    def _discard(self) -> None:
        if self.winner is not None:
            self.winner.hold.drop()
        if self._leg is not None:
            self._leg.close()
