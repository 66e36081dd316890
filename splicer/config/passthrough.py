"""``[[passthrough]]``: TLS connections that go to a pod as they are, by the name that the client asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs
from attrs import evolve, frozen

from splicer.config import kinds
from splicer.config.addresses import is_host_name, is_ip
from splicer.config.deadlines import of_some_keys
from splicer.config.keys import key
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, show, suggest, text
from splicer.config.schema import ServerSettings
from splicer.model import Deadlines, Upstream
from splicer.routing.passthrough import LABEL, Passthrough

_DEADLINES = ("resolve", "connect", "attempts", "idle", "half_closed", "lifetime")
_ANY = "*."


def server_name(value: object) -> str:
    """A name that clients ask for, in lower case; "*." in front stands for any one label."""
    word = text(value)
    host = word.removeprefix(_ANY)
    if is_ip(host.strip("[]")):
        raise BadValue(f"{show(word)}: clients ask for no address by name (RFC 6066 §3)")
    if not is_host_name(host) or host.endswith("."):
        raise BadValue(f'{show(word)} is no host name, nor "*." and one, such as "*.rtc.example.com"')
    if host != word and "." not in host:
        raise BadValue(f'{show(word)} is every name of a top-level domain; write for example "*.rtc.{host}"')
    return word.lower()


@frozen
class PassthroughSpec:
    """The keys of one table."""

    names: tuple[str, ...] = key(
        kinds.list_of(kinds.text(server_name, "name"), "names", empty="no connection would be passed through"),
        'The names (SNI) of the connections: `"grpc.example.com"`, or `"*.rtc.example.com"` for any one label before '
        "`.rtc.example.com`. An exact name goes before one with a star.",
    )
    upstream: str = key(
        kinds.NAME,
        "The upstream that gets them. Its address may have `{label}`, which is what the star stands for.",
    )
    deadlines: Mapping[str, float] = key(
        of_some_keys(_DEADLINES),
        f"Those of `[deadlines]` that differ here: {', '.join(f'`{name}`' for name in _DEADLINES)}.",
        default=MappingProxyType({}),
        absent="those of `[deadlines]`",
    )


PASSTHROUGH = Reader(PassthroughSpec)


def spec_of(passthrough: Passthrough) -> PassthroughSpec:
    """The equivalent table, with every deadline written out: the inverse of `read_passthrough`."""
    deadlines = {name: seconds for name, seconds in attrs.asdict(passthrough.deadlines).items() if name in _DEADLINES}
    return PassthroughSpec(passthrough.names, passthrough.upstream.name, deadlines)


def read_passthrough(
    tables: object, upstreams: Mapping[str, Upstream | None] | None, inherited: Deadlines
) -> tuple[tuple[Passthrough, ...], tuple[tuple[str, Fault], ...]]:
    """All tables without faults, and the faults, each with the place of its table.

    Args:
        tables: the value that TOML gave.
        upstreams: by name, None for one with faults; None instead of the mapping if the upstreams could not be read.
        inherited: the values of ``[deadlines]``.
    """
    if not isinstance(tables, list):
        fault = Fault((), f"must be an array of tables, not {show(tables)}; write [[passthrough]] above each table")
        return (), (("passthrough", fault),)
    sound: list[Passthrough] = []
    faults: list[tuple[str, Fault]] = []
    taken: dict[str, int] = {}
    for index, table in enumerate(tables, 1):
        reading = PASSTHROUGH.read(table)
        found, spec = list(reading.faults), reading.value
        if spec is not None:
            found += [*_repeated(spec.names, index, taken), *_unreachable(spec, upstreams)]
            upstream = None if upstreams is None else upstreams.get(spec.upstream)
            if not found and upstream is not None:
                sound.append(Passthrough(spec.names, upstream, evolve(inherited, **spec.deadlines)))
        faults += ((f"passthrough {index}", fault) for fault in found)
    return tuple(sound), tuple(faults)


def _repeated(names: tuple[str, ...], index: int, taken: dict[str, int]) -> Iterator[Fault]:
    for name in names:
        if name in taken:
            yield Fault(("names",), f"passthrough {taken[name]} has {show(name)} already")
        taken.setdefault(name, index)


def _unreachable(spec: PassthroughSpec, upstreams: Mapping[str, Upstream | None] | None) -> Iterator[Fault]:
    if upstreams is None:
        return
    if spec.upstream not in upstreams:
        yield Fault(("upstream",), f"unknown upstream {show(spec.upstream)}{suggest(spec.upstream, upstreams)}")
        return
    upstream = upstreams[spec.upstream]
    if upstream is not None and upstream.tls is not None:
        yield Fault(("upstream",), f"{show(spec.upstream)} has tls, and what passes through is TLS already")
    if upstream is None:
        return
    if others := sorted(upstream.host.captures - {LABEL}):
        yield Fault(("upstream",), f"{show(upstream.text)} needs {{{others[0]}}}; a name gives {{{LABEL}}} alone")
    elif upstream.host.captures and (plain := [name for name in spec.names if not name.startswith(_ANY)]):
        yield Fault(("names",), f"{show(plain[0])} has no star, and {show(upstream.text)} needs what one stands for")


def listener_faults(server: ServerSettings, *, given: bool) -> Iterator[str]:
    """Tables without a listener, and listeners without a table: they would do nothing.

    Args:
        server: the section.
        given: whether the file has any table.
    """
    passing = [number for number, listener in enumerate(server.listen, 1) if listener.passthrough]
    if given and not passing:
        yield "passthrough: no entry of server.listen has passthrough = true, so no connection gets here"
    if passing and not given:
        yield f"server.listen.{passing[0]}.passthrough: there is no [[passthrough]]; write one, or leave the key out"
