"""Name resolution: a cache, at most one lookup in flight per name, and the last good answer if the servers fail."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Protocol

import trio
from attrs import Factory, define

from splicer.errors import NameNotFound, ResolveFailed, ResolveTimeout
from splicer.net.cache import Cache, Known
from splicer.net.dns_names import RdataType
from splicer.net.dns_query import NameServers, Records, system_nameservers
from splicer.net.families import Ask, ask_families
from splicer.policy.allowed import LOCALHOST, is_localhost
from splicer.quick_frozen import quick_frozen

REFRESH_INTERVAL = 0.25  # seconds: many failed connects at once must not cause as many lookups
STALE_TIMEOUT = 0.25  # seconds that a caller waits for servers that failed the last time (RFC 8767 §5)
UNKNOWN_NAME_LOOKUPS = 128  # concurrent lookups of names without an earlier answer that get the whole lifetime
SHORT_LOOKUPS = 256  # concurrent lookups of such names beyond these
SHORT_LOOKUP_TIMEOUT = 0.5  # seconds for each lookup of the second kind

_STOPPED = "the resolver has stopped"
_MAX_LOOKUP_SECONDS = 30.0  # seconds; with `deadlines.resolve` "never", a lookup without waiters must still end
_USABLE_TIME = 0.9  # of the caller's own deadline; then the old answer is taken, while there is time to use it


@quick_frozen
class Answer:
    """The result of a lookup.

    Args:
        addresses: numeric, IPv4 before IPv6, each family in the order served; never empty.
        fresh: False when the answer came from the cache or the name servers failed; then, after a failed connect, it is
            worthwhile to resolve again with `refresh`.
    """

    addresses: tuple[str, ...]
    fresh: bool


@define
class ResolverStats:
    """Counters that only grow.

    Args:
        queries: lookups put to the name servers (A and AAAA together are one).
        failures: those of them to which no name server gave a usable answer.
        cache_hits: answers from the cache within their TTL.
        stale_answers: old answers given because the name servers had failed.
    """

    queries: int = 0
    failures: int = 0
    cache_hits: int = 0
    stale_answers: int = 0

    def count(self, name: str) -> None:
        """Add one to the counter of this name."""
        setattr(self, name, getattr(self, name) + 1)


class Starter(Protocol):
    """The part of a nursery that a resolver uses."""

    def start_soon(self, task: Callable[..., Awaitable[object]], /, *arguments: Any) -> None:
        """As `trio.Nursery.start_soon`."""
        ...


class ResolverOptions(Protocol):
    """The ``[resolver]`` table: see the configuration's own class."""

    @property
    def nameservers(self) -> tuple[tuple[str, int], ...]:
        """Numeric addresses and ports; if empty, those of /etc/resolv.conf are used."""
        ...

    @property
    def max_ttl(self) -> float:
        """Seconds; upper bound of any record's TTL."""
        ...

    @property
    def ipv6(self) -> bool:
        """Whether to ask for AAAA."""
        ...

    @property
    def hosts(self) -> Mapping[str, tuple[str, ...]]:
        """Fixed names in lower case; they take precedence over DNS."""
        ...


@define(eq=False)
class _Flight:
    """A lookup in flight, shared by all callers that wait for it."""

    done: trio.Event = Factory(trio.Event)
    outcome: Answer | NameNotFound | ResolveFailed = Factory(lambda: ResolveFailed(_STOPPED))


class Resolver:
    """Lookups of names.

    Names are absolute (no search list). Fixed names, IP literals and localhost (RFC 6761 §6.3) need no lookup.
    An answer is cached for min(TTL, `max_ttl`), "no such name" briefly; while the name servers fail, the last good
    answer is served. A name has at most one lookup in flight; it runs in the nursery, not in the task that asked first.

    Invariant: names that clients invent delay no other name. Lookups of names without an earlier answer are bounded in
    number, and beyond `UNKNOWN_NAME_LOOKUPS` also in time: name servers that know a name answer soon. Lookups of other
    names have no such bound.

    Args:
        settings: the ``[resolver]`` table.
        nursery: where lookups run.
        lifetime: seconds that a lookup may take (`deadlines.resolve`).
        ask: puts one question to the name servers; None: over the network.
        counters: the counters to add to; None: new ones.
    """

    def __init__(
        self,
        settings: ResolverOptions,
        *,
        nursery: Starter,
        lifetime: float,
        ask: Ask | None = None,
        counters: ResolverStats | None = None,
    ) -> None:
        self.counters = counters or ResolverStats()
        self._nursery = nursery
        self._lifetime = min(lifetime, _MAX_LOOKUP_SECONDS)
        self._ask = ask or NameServers(settings.nameservers or system_nameservers(), self._lifetime).ask
        self._kinds = (RdataType.A, RdataType.AAAA) if settings.ipv6 else (RdataType.A,)
        self._localhost = Answer(LOCALHOST if settings.ipv6 else LOCALHOST[:1], fresh=True)
        self._hosts = {_absolute(name): Answer(addresses, fresh=True) for name, addresses in settings.hosts.items()}
        self._cache = Cache(settings.max_ttl)
        self._flights: dict[str, _Flight] = {}
        self._unknown_names = trio.CapacityLimiter(UNKNOWN_NAME_LOOKUPS)
        self._short = trio.CapacityLimiter(SHORT_LOOKUPS)

    def cached(self, name: str) -> Answer | None:
        """The answer that needs no lookup; None: `resolve` must be awaited."""
        return self._without_lookup(_absolute(name), refresh=False)

    def known(self, name: str) -> tuple[str, ...]:
        """The addresses that `cached` gives, or gave before they expired; this call does not count as a cache hit."""
        name = _absolute(name)
        answer = self._fixed(name) or self._cache.good(name)
        return () if answer is None else answer.addresses

    async def resolve(self, name: str, *, refresh: bool = False) -> Answer:
        """The cached answer, or that of the name servers; there is no checkpoint if no lookup is needed.

        The caller's deadline is a cancel scope around the call. A lookup goes on if one of its callers gives up.

        Args:
            name: absolute, with or without the last dot.
            refresh: don't take a good answer from the cache, unless a refresh was begun just before.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolveFailed: no name server gave a usable answer, and no earlier answer is known.
        """
        name = _absolute(name)
        answer = self._without_lookup(name, refresh=refresh)
        if answer is not None:
            return answer
        refusal = self._cache.refusal(name, trio.current_time())
        if refusal is not None:
            raise _again(refusal)
        known = self._cache.good(name)
        if known is not None and refresh and name not in self._flights:
            known.refresh_after = trio.current_time() + REFRESH_INTERVAL
        flight = self._flights.get(name) or self._start_lookup(name)
        with trio.move_on_after(_time_to_wait(known)):
            await flight.done.wait()
        outcome = flight.outcome
        if known is not None and not flight.done.is_set():  # the lookup goes on, but this caller must not wait longer
            outcome = Answer(known.addresses, fresh=False)
        if not isinstance(outcome, Answer):
            raise _again(outcome)
        if not outcome.fresh:
            self.counters.count("stale_answers")
        return outcome

    def _without_lookup(self, name: str, *, refresh: bool) -> Answer | None:
        fixed = self._fixed(name)
        if fixed is not None:
            return fixed
        known = self._cache.good(name)
        now = trio.current_time()
        if known is None or now >= known.expires:
            return None
        if refresh and (name in self._flights or now >= known.refresh_after):
            return None
        if known.stale:
            self.counters.count("stale_answers")
        else:
            self.counters.count("cache_hits")
        return Answer(known.addresses, fresh=refresh and not known.stale)

    def _fixed(self, name: str) -> Answer | None:
        if (answer := self._hosts.get(name)) is not None:
            return answer
        if is_localhost(name):
            return self._localhost
        return _literal(name)

    def _start_lookup(self, name: str) -> _Flight:
        flight = _Flight()
        try:
            self._nursery.start_soon(self._look_up, name, flight)
        except RuntimeError:  # the nursery is closed
            raise ResolveFailed(_STOPPED) from None
        self._flights[name] = flight
        return flight

    # Invariant: the waiters are always woken, and no exception but cancellation reaches the nursery.
    async def _look_up(self, name: str, flight: _Flight) -> None:
        self.counters.count("queries")
        try:
            with trio.fail_after(self._lifetime):
                records = await self._ask_within_bounds(name)
            flight.outcome = self._learn(name, records)
        except trio.TooSlowError:
            flight.outcome = self._failed(name, ResolveTimeout(f"{name}: no answer within {self._lifetime:g} s"))
        except ResolveFailed as error:
            flight.outcome = self._failed(name, error.with_traceback(None))  # its frames hold the flight: a cycle
        except Exception as error:  # noqa: BLE001  # a bug of ours must fail this name, not the worker
            flight.outcome = self._failed(name, ResolveFailed(f"{name}: {error!r}"))
        finally:
            del self._flights[name]
            flight.done.set()

    async def _ask_within_bounds(self, name: str) -> Records:
        if self._cache.good(name) is not None:
            return await ask_families(name, self._kinds, self._ask)
        if self._unknown_names.available_tokens:
            async with self._unknown_names:
                return await ask_families(name, self._kinds, self._ask)
        async with self._short:
            with trio.move_on_after(SHORT_LOOKUP_TIMEOUT):
                return await ask_families(name, self._kinds, self._ask)
        raise ResolveTimeout(f"{name}: no answer within {SHORT_LOOKUP_TIMEOUT:g} s, amid many other unknown names")

    def _learn(self, name: str, records: Records) -> Answer | NameNotFound:
        now = trio.current_time()
        if records.addresses:
            self._cache.found(name, records, now)
            return Answer(records.addresses, fresh=True)
        error = NameNotFound(f"{name} has no address" if records.exists else f"there is no name {name}")
        self._cache.gone(name, records, error, now)
        return error

    def _failed(self, name: str, error: ResolveFailed) -> Answer | ResolveFailed:
        self.counters.count("failures")
        self._cache.failed(name, error, trio.current_time())
        known = self._cache.good(name)
        return error if known is None else Answer(known.addresses, fresh=False)


def _absolute(name: str) -> str:
    return name.lower().removesuffix(".")


@lru_cache(maxsize=1024)
def _literal(name: str) -> Answer | None:
    try:
        return Answer((str(ip_address(name)),), fresh=True)
    except ValueError:
        return None


def _again(error: NameNotFound | ResolveFailed) -> NameNotFound | ResolveFailed:
    """A copy of the error for one more caller: a raised exception collects the traceback of its raiser."""
    return type(error)(*error.args)


def _time_to_wait(known: Known | None) -> float:
    """Seconds to wait for a lookup: a caller with an older answer stops early enough to use it."""
    if known is None:
        return math.inf
    left = trio.current_effective_deadline() - trio.current_time()
    return max(0.0, min(_USABLE_TIME * left, STALE_TIMEOUT if known.stale else math.inf))
