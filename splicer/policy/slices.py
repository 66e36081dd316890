"""Rows: the endpoints of one Service at one port, made of its EndpointSlices (discovery.k8s.io/v1, types.go).

    kept = read_slice(json.loads(line)["object"])
    rows_of([kept, ...], 8000).rows

A Service may have several slices: at most 100 endpoints each, one set for each address family and each set of ports.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from attrs import frozen

from splicer.policy.json_fields import boolean, items, mapping, text

SERVICE_LABEL = "kubernetes.io/service-name"
SKIPPED = ("address", "family", "name", "port")  # why an endpoint of a slice gives no row

_VERSIONS = {"IPv4": 4, "IPv6": 6}  # FQDN is deprecated and has no semantics
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST_NAME = 253  # characters of a pod's name; nothing that is kept is longer
_LAST_PORT = 65535


class NotASlice(ValueError):
    """It has no metadata by which it could be kept: whatever sent it is no API server."""


class Row(NamedTuple):
    """One endpoint of a Service.

    Args:
        pod: the pod's name; None if nothing says it, or no URL could name it.
        address: IPv4 or IPv6, in its one canonical form.
        port: the port of the pod, which may differ from the Service's.
        ready: it is to get new calls (with `publishNotReadyAddresses` always true).
        serving: it answers, be it about to end or not.
        terminating: it is being deleted.
        zone: where it runs, such as ``"asia-south1-a"``.
        uid: the pod's, another one after it was made again.
    """

    pod: str | None
    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    zone: str | None
    uid: str | None


class SlicePort(NamedTuple):
    """A port that all endpoints of a slice have; `number` is None where the API leaves it open."""

    name: str
    protocol: str
    number: int | None


class SliceEndpoint(NamedTuple):
    """A row without its port."""

    pod: str | None
    address: str
    ready: bool
    serving: bool
    terminating: bool
    zone: str | None
    uid: str | None


@frozen
class EndpointSlice:
    """What is kept of a slice: a tenth of what is sent.

    Args:
        uid: the slice's own.
        service: the Service that it belongs to.
        version: 4 or 6, the family of its addresses; 0 if its `addressType` is no such family.
        ports: as listed; none is legal for a headless Service, and usual for a slice without pods.
        endpoints: those that can give rows.
        skipped: of the others, how many for which reason.
    """

    uid: str
    service: str
    version: int
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]
    skipped: Mapping[str, int]


@frozen
class Rows:
    """The rows of one Service at one port.

    Args:
        rows: IPv4 before IPv6, in the order of their addresses: the same set is always the same value.
        skipped: how many endpoints gave no row at present, by reason (`SKIPPED`).
        port_listed: False if slices list ports and none of them is the one asked for. Then there are no rows, and the
            Service's name must be asked instead: its port may differ from the pods', and no slice says how.
    """

    rows: tuple[Row, ...]
    skipped: Mapping[str, int]
    port_listed: bool


def read_slice(thing: object) -> EndpointSlice:
    """Read an EndpointSlice as the API server sends it; an endpoint that makes no sense is left out and counted.

    Raises:
        NotASlice: it has no uid or no Service.
    """
    metadata = mapping(mapping(thing).get("metadata"))
    uid = text(metadata.get("uid"), _LONGEST_NAME)
    service = text(mapping(metadata.get("labels")).get(SERVICE_LABEL), _LONGEST_NAME)
    if uid is None or service is None:
        raise NotASlice("an object without a uid or without the label of its Service")
    slice_ = mapping(thing)
    version = _VERSIONS.get(text(slice_.get("addressType")) or "", 0)
    skipped: Counter[str] = Counter()
    endpoints = tuple(_endpoints(items(slice_.get("endpoints")), version, skipped))
    ports = tuple(map(_port, items(slice_.get("ports"))))
    return EndpointSlice(uid, service, version, ports, endpoints, dict(skipped))


def rows_of(slices: Iterable[EndpointSlice], port: int | str, *, ipv6: bool = True) -> Rows:
    """Join the slices of one Service.

    Args:
        slices: in the order in which they were heard of, the latest one last.
        port: the number of a port of the pods, or the name of a port (TCP).
        ipv6: whether IPv6 addresses are wanted.
    """
    wanted = [each for each in slices if ipv6 or each.version != 6]
    skipped: Counter[str] = Counter()
    rows: list[Row] = []
    for each in wanted:
        skipped.update(each.skipped)
        number = _number(each, port)
        if number is None:
            skipped["port"] += len(each.endpoints)
            continue
        rows += [Row(e.pod, e.address, number, *e[2:]) for e in each.endpoints]
    return Rows(_ordered(_unique(rows)), {name: n for name, n in skipped.items() if n}, _listed(wanted, port))


def _endpoints(sent: Iterable[object], version: int, skipped: Counter[str]) -> Iterator[SliceEndpoint]:
    for thing in sent:
        endpoint = _endpoint(mapping(thing), version)
        if isinstance(endpoint, str):
            skipped[endpoint] += 1
        else:
            yield endpoint


def _endpoint(sent: Mapping[str, Any], version: int) -> SliceEndpoint | str:
    """The endpoint, or why there is none."""
    try:  # "no semantics … beyond the first" address
        address = ip_address(text(next(iter(items(sent.get("addresses"))), None)) or "")
    except ValueError:
        return "address"
    if "%" in str(address):
        return "address"
    if address.version != version:
        return "family"
    target = mapping(sent.get("targetRef"))
    is_pod = target.get("kind") == "Pod"
    name = text(sent.get("hostname")) or (text(target.get("name")) if is_pod else None)
    if name is not None and not _is_name(name):
        return "name"
    conditions = mapping(sent.get("conditions"))
    ready = boolean(conditions.get("ready"), missing=True)
    return SliceEndpoint(
        # A Deployment's pod may have a name with dots: it gets calls, but no URL can name it.
        pod=name if name is not None and _LABEL.fullmatch(name) else None,
        address=str(address),
        ready=ready,
        serving=boolean(conditions.get("serving"), missing=ready),
        terminating=boolean(conditions.get("terminating"), missing=False),
        zone=text(sent.get("zone"), _LONGEST_NAME),
        uid=text(target.get("uid"), _LONGEST_NAME) if is_pod else None,
    )


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, name.split(".")))


def _port(thing: object) -> SlicePort:
    sent = mapping(thing)
    number = sent.get("port")
    whole = isinstance(number, int) and not isinstance(number, bool)
    name, protocol = text(sent.get("name"), _LONGEST_NAME), text(sent.get("protocol"), _LONGEST_NAME)
    return SlicePort(name or "", protocol or "TCP", number if whole else None)


def _number(slice_: EndpointSlice, port: int | str) -> int | None:
    """The port of this slice's endpoints that is meant; None if they have none."""
    tcp = [each for each in slice_.ports if each.protocol == "TCP"]
    if isinstance(port, str):
        number = next((each.number for each in tcp if each.name == port), None)
    else:
        number = port if not slice_.ports or any(each.number in (None, port) for each in tcp) else None
    return number if number is not None and 1 <= number <= _LAST_PORT else None


def _listed(slices: list[EndpointSlice], port: int | str) -> bool:
    if isinstance(port, str):
        lists = [each for each in slices if each.ports or each.endpoints]
    else:
        lists = [each for each in slices if each.ports]
    return not lists or any(_number(each, port) is not None for each in lists)


# An endpoint may stand in two slices for a moment, while the controller moves it; and an address may be another pod's
# already while the old pod, terminating, still stands in a slice (kubernetes#135593).
def _unique(rows: list[Row]) -> Iterable[Row]:
    latest: dict[tuple[str, int, str | None], Row] = {}
    for row in rows:
        key = (row.address, row.port, row.uid)
        latest.pop(key, None)  # so that the order of `latest` is that in which each was heard of last
        latest[key] = row
    best: dict[tuple[str, int], Row] = {}
    for row in latest.values():
        other = best.get((row.address, row.port))
        if other is None or _rank(row) >= _rank(other):
            best[row.address, row.port] = row
    return best.values()


def _rank(row: Row) -> int:
    return 2 if row.ready else 1 if row.serving else 0


def _ordered(rows: Iterable[Row]) -> tuple[Row, ...]:
    def key(row: Row) -> tuple[int, int, int]:
        address = ip_address(row.address)
        return address.version, int(address), row.port

    return tuple(sorted(rows, key=key))
