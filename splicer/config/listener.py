"""The entries of ``server.listen``: each an address, or a table with an address and what else holds there."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from attrs import frozen

from splicer.config import kinds
from splicer.config.addresses import ListenAddress, listen_address
from splicer.config.keys import key, written
from splicer.config.kinds import Kind, any_of
from splicer.config.reader import Reader
from splicer.config.scalars import At, BadValue, list_of, resolved
from splicer.model import Network
from splicer.proxyproto.facts import VENDORS

_MOST_NETWORKS = 256  # of all listeners: each connection is looked up in them, and one message to workers has them all
EVERYBODY: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@frozen
class Listener:
    """An entry of ``server.listen``: it belongs to the processes, and a reload does not change it."""

    address: ListenAddress = key(kinds.LISTEN_ADDRESS, "As an entry that is no table has it.")
    proxy_protocol: tuple[Network, ...] | None = key(
        kinds.unless(
            "required",
            EVERYBODY,
            kinds.list_of(kinds.NETWORK, "networks", empty="nobody would send a header"),
        ),
        "Who must begin each connection with a PROXY header (version 1 or 2), as load balancers do: those within these "
        'networks, and nobody else may; `"required"` is everybody.',
        default=None,
        absent="nobody",
    )
    vendor: str | None = key(
        kinds.choice(*VENDORS),
        "Whose own fields of PROXY headers are logged, as `proxy_vendor`: the id of a private link to you.",
        default=None,
        beside=("proxy_protocol",),
    )
    passthrough: bool = key(
        kinds.BOOLEAN,
        "Clients speak TLS here, and those that ask for a name of a `[[passthrough]]` go to its upstream as they are.",
        default=False,
    )
    tls: str | None = key(
        kinds.NAME,
        "Clients speak TLS here: the name of the `[tls.NAME]` with the certificates.",
        default=None,
    )


LISTENER = Reader(Listener)


def read_listener(value: object) -> Listener:
    """One entry.

    Raises:
        BadValue: it is neither an address nor a table.
        ExceptionGroup: the faults of the table.
    """
    value = resolved(value)
    if not isinstance(value, dict):
        return Listener(listen_address(value))
    listener = LISTENER(value)
    for name, declared in LISTENER.keys.items():
        for other in declared.beside:
            if name in value and other not in value:
                raise At(name, BadValue(f"needs {other}"))
    return listener


def write_listener(listener: Listener) -> str | dict[str, Any]:
    """One entry in the file's notation: an address if nothing else is to be said."""
    if listener == Listener(listener.address):
        return str(listener.address)
    return written(LISTENER.keys, listener)


def read_listeners(value: object) -> tuple[Listener, ...]:
    """One entry or a list of them, whose addresses differ."""
    entries = value if isinstance(value, list) else [value]
    numbered = list(enumerate(entries, 1))
    listeners = list_of(_numbered if isinstance(value, list) else _only, empty="nobody could connect")(numbered)
    addresses = [listener.address for listener in listeners]
    for listener, address in zip(listeners, addresses, strict=True):
        if addresses.count(address) > 1 and (address.port or listeners.count(listener) < addresses.count(address)):
            raise BadValue(f"{address} stands there twice")
    networks = sum(len(listener.proxy_protocol or ()) for listener in listeners)
    if networks > _MOST_NETWORKS:
        raise BadValue(f"has {networks} networks, and at most {_MOST_NETWORKS} may stand there; write wider ones")
    return listeners


def _only(entry: Any) -> Listener:
    return read_listener(entry[1])


# The faults of a table name it by its number, for its address may be what is wrong.
def _numbered(entry: Any) -> Listener:
    number, value = entry
    if not isinstance(value, dict):
        return read_listener(value)
    try:
        return read_listener(value)
    except (ValueError, ExceptionGroup) as fault:
        raise At(str(number), fault) from None


def to_text(listener: Listener) -> str:
    """What a worker must know of a listener, as the supervisor passes it on; "" if that is nothing."""
    entry = write_listener(listener)
    return "" if isinstance(entry, str) else json.dumps(entry)


def from_text(text: str) -> Listener | None:
    """The inverse of `to_text`; None for ""."""
    return LISTENER(json.loads(text)) if text else None


def _brief(listeners: tuple[Listener, ...]) -> str:
    return ", ".join(map(_line, listeners))


def _line(listener: Listener) -> str:
    others = [
        f"{name} = {LISTENER.keys[name].brief(value)}"
        for name in LISTENER.keys
        if name != "address" and (value := getattr(listener, name)) != getattr(Listener(listener.address), name)
    ]
    return f"{listener.address} ({', '.join(others)})" if others else str(listener.address)


_ENTRY = any_of(kinds.LISTEN_ADDRESS.schema, LISTENER.schema())
LISTENERS: Kind[tuple[Listener, ...]] = Kind(
    read_listeners,
    lambda listeners: [write_listener(listener) for listener in listeners],
    any_of(_ENTRY, {"type": "array", "items": _ENTRY, "minItems": 1}),
    "address with a port, or a table, or a list of them",
    brief=_brief,
)
