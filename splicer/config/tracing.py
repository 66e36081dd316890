"""``[tracing]``: which requests are traced, and where their spans go. Without the section nothing is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from splicer.config import kinds
from splicer.config.environment import FromEnvironment
from splicer.config.keys import key
from splicer.config.kinds import Kind
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, resolved, show, table_of, text

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_VALUE = re.compile(r"[^\t -~]")
_NO_URL = re.compile(r"[^!-~]")
_DECIMAL = re.compile(r"[0-9]*\.?[0-9]+")
_MOST_ENTRIES = 64  # of a table; each attribute goes with every batch of spans
_LONGEST_TEXT = 1024  # characters
_OWN_HEADERS = frozenset(
    ("host", "connection", "content-type", "content-length", "content-encoding", "transfer-encoding", "expect")
)
_OWN_ATTRIBUTES = frozenset(("service.name", "service.version", "service.instance.id", "host.name"))

Pairs = tuple[tuple[str, str], ...]


@frozen
class Collector:
    """The address of an OpenTelemetry collector's receiver (OTLP over HTTP).

    Args:
        url: as in the file.
        secure: whether it is https.
        host: its name or numeric address.
        port: its TCP port.
        target: path and query.
    """

    url: str
    secure: bool
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return self.url


def collector(value: object) -> Collector:
    """The URL of a collector's receiver of traces."""
    url = text(value)
    if odd := _NO_URL.search(url):
        raise BadValue(f"{show(odd[0])} is in no URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValue(f"{show(url)} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise BadValue(f'{show(url)} is no http or https URL; write for example "http://collector:4318/v1/traces"')
    if parts.username is not None or parts.fragment:
        raise BadValue("may have neither a user nor a fragment; credentials are a header, in tracing.headers")
    if parts.path in ("", "/"):
        raise BadValue(f'has no path, and none is guessed; most collectors take "{url.rstrip("/")}/v1/traces"')
    secure = parts.scheme == "https"
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return Collector(url, secure, host, port or (443 if secure else 80), target)


def fraction(value: object) -> float:
    """A number from 0 to 1; a reference to the environment may give it in digits."""
    value = resolved(value)
    if isinstance(value, FromEnvironment) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise BadValue(f"must be a number from 0 to 1, not {show(value)}")
    if not 0 <= value <= 1:
        raise BadValue(f"must be a number from 0 to 1, not {show(value)}; 0.05 is one request of twenty")
    return float(value)


def _short(value: object) -> str:
    word = text(value)
    if len(word) > _LONGEST_TEXT:
        raise BadValue(f"has {len(word)} characters; at most {_LONGEST_TEXT} are possible here")
    return word


def _service(value: object) -> str:
    word = _short(value)
    if not word.strip() or not word.isprintable():
        raise BadValue("is one line of printable characters, and not empty")
    return word


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise BadValue("is no header name (RFC 9110 §5.1)")
    if name.lower() in _OWN_HEADERS:
        raise BadValue("can't be set: the edge writes it")
    return name


def _header_value(value: object) -> str:
    word = _short(value)
    if odd := _NO_VALUE.search(word):
        raise BadValue(f"{show(odd[0])} is in no header value: it is ASCII without control characters")
    if word != word.strip(" \t"):
        raise BadValue("a header value has no outer spaces")
    return word


def _attribute_name(name: str) -> str:
    if not name or not name.isprintable() or len(name) > _LONGEST_TEXT:
        raise BadValue("is no name of an attribute")
    if name in _OWN_ATTRIBUTES:
        raise BadValue("is the edge's own; write service = ..." if name == "service.name" else "is the edge's own")
    return name


def _pairs(name: Callable[[str], str], value: Callable[[object], str], words: str) -> Kind[Pairs]:
    parse_table = table_of(name, value)

    def parse(table: object) -> Pairs:
        pairs = parse_table(table)
        if len(pairs) > _MOST_ENTRIES:
            raise BadValue(f"has {len(pairs)} entries; at most {_MOST_ENTRIES} are possible")
        return pairs

    schema = {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": _MOST_ENTRIES}
    return Kind(parse, dict, schema, words)


# Their values may be secrets, and the log of a reload has lines about changes.
_HEADERS: Kind[Pairs] = _pairs(_header_name, _header_value, "table of header values")
HEADERS: Kind[Pairs] = Kind(
    _HEADERS.parse, dict, _HEADERS.schema, _HEADERS.words, brief=lambda pairs: ", ".join(name for name, _ in pairs)
)
ATTRIBUTES: Kind[Pairs] = _pairs(_attribute_name, _short, "table of strings")
COLLECTOR: Kind[Collector] = Kind(collector, str, {"type": "string"}, "URL")
FRACTION: Kind[float] = Kind(
    fraction,
    kinds.unchanged,
    kinds.any_of({"type": "number", "minimum": 0, "maximum": 1}, kinds.REFERENCE),
    "number, 0 to 1",
)
FORMATS = kinds.list_of(
    kinds.choice("w3c", "b3", "b3-multi"), '`"w3c"`, `"b3"` and `"b3-multi"`', empty="pods would get no trace"
)


@frozen
class TracingSettings:
    """``[tracing]``."""

    endpoint: Collector | None = key(
        COLLECTOR,
        "Where spans are sent: a collector's receiver for OTLP over HTTP, with its whole path. Without it the ids are "
        "in the log and in pods' headers only.",
        default=None,
    )
    sample: float = key(
        FRACTION, "The share of requests that are sampled if nobody who is trusted has decided.", default=0.05
    )
    trust: Literal["proxies", "anyone", "nobody"] = key(
        kinds.choice("proxies", "anyone", "nobody"),
        "Whose traces are continued: those of `trusted_proxies`, everybody's, or nobody's. Any other request begins a "
        "trace, whose span has a link to the one that the client named.",
        default="proxies",
    )
    propagate: tuple[str, ...] = key(
        FORMATS,
        "The headers in which pods get the trace; `b3` (one field) and `b3-multi` are then read as well, after W3C's.",
        default=("w3c",),
    )
    tunnel: Literal["link", "child", "off"] = key(
        kinds.choice("link", "child", "off"),
        "The span of a call, which is sent at its end: in a trace of its own with a link to the handshake's, as a "
        "child of that, or none.",
        default="link",
        beside=("endpoint",),
    )
    service: str = key(
        kinds.text(_service, "string"), "The spans' `service.name`.", default="splicer", beside=("endpoint",)
    )
    attributes: Pairs = key(
        ATTRIBUTES,
        "More attributes of the spans' resource, such as `deployment.environment.name`.",
        default=(),
        beside=("endpoint",),
    )
    headers: Pairs = key(
        HEADERS,
        "Headers of the requests to the collector, for example with a key from the environment; an empty one is not "
        "sent.",
        default=(),
        beside=("endpoint",),
    )
    compression: Literal["gzip", "none"] = key(
        kinds.choice("gzip", "none"),
        "How these requests are compressed. With gzip they have a fifth of the bytes, which are 1.3 KB a call, and a "
        "traced call takes 0.7 % more CPU.",
        default="none",
        beside=("endpoint",),
    )


TRACING = Reader(TracingSettings)


def read_tracing(table: object) -> tuple[TracingSettings | None, list[Fault]]:
    """The section, and its faults.

    Args:
        table: its value in the file.
    """
    reading = TRACING.read(table)
    return reading.value, [*reading.faults, *_useless(reading.given, reading.broken, TRACING)]


def _useless(given: frozenset[str], broken: frozenset[str], reader: Reader[Any]) -> Iterator[Fault]:
    """Keys about spans that are sent nowhere."""
    for name in reader.keys:
        if name in given - broken and any(other not in given for other in reader.keys[name].beside):
            yield Fault((name,), "does nothing without endpoint: no spans are sent then; write one, or leave this out")


def without_secrets(tables: dict[str, Any]) -> dict[str, Any]:
    """A configuration's tables (`dump`), with the values of the collector's headers replaced by stars."""
    section = tables.get("tracing", {})
    if not section.get("headers"):
        return tables
    return {**tables, "tracing": {**section, "headers": dict.fromkeys(section["headers"], "***")}}
