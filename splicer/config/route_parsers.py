"""Parsers for the single keys of a ``[[routes]]`` table."""

from __future__ import annotations

import re

from splicer.config.addresses import is_host_name, is_ip
from splicer.config.scalars import BadValue, integer, show, text
from splicer.patterns import PathPattern
from splicer.routing.hosts import host_name
from splicer.routing.normal import normal_form
from splicer.routing.pattern import compile_pattern
from splicer.routing.rewrite import climbs
from splicer.routing.template import CaptureTemplate, parse_template

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PROTOCOL = re.compile(rf"{_TOKEN.pattern}(?:/{_TOKEN.pattern})?")
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/:\[\]]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?(?P<rest>/.*)?"
)
_OWN_PORTS = {"http": ":80", "https": ":443"}
_NOT_IN_TARGET = re.compile(r"[^!-~]|#|%(?![0-9A-Fa-f]{2})")


def path(value: object) -> PathPattern:
    """A whole path."""
    return compile_pattern("path", _literal_path(value))


def prefix(value: object) -> PathPattern:
    """The beginning of a path."""
    return compile_pattern("prefix", _literal_path(value))


def regex(value: object) -> PathPattern:
    """An RE2 expression."""
    return compile_pattern("regex", text(value))


def _literal_path(value: object) -> str:
    word = text(value)
    if not word.startswith("/"):
        raise BadValue(f'must start with "/"; write {show("/" + word)}')
    if "?" in word:
        raise BadValue(f"{show(word)} has a query, which no path has; the query takes no part in matching")
    _check_characters(word)
    if "//" in word:
        raise BadValue(
            f"{show(word)} has an empty segment, and slashes are merged first; write {show(normal_form(word))}"
        )
    return word


def _check_characters(word: str) -> None:
    if odd := _NOT_IN_TARGET.search(word):
        encoded = "".join(f"%{byte:02X}" for byte in odd[0].encode())
        raise BadValue(f"{show(odd[0])} stands in no request as it is; write {encoded}")


def rewrite(value: object) -> CaptureTemplate:
    """A template for the request target that the pod gets."""
    template = parse_template(text(value))
    first = template.parts[0] if template.parts else ""
    if isinstance(first, str) and not first.startswith("/"):
        raise BadValue('must start with "/" or a capture')
    for part in template.parts:
        if isinstance(part, str):
            _check_characters(part)
    if climbs(template.render(dict.fromkeys(template.captures, "x"))):
        raise BadValue("has a dot segment, which no pod should get")
    return template


def host(value: object) -> str:
    """A host name, "*.suffix", or an address in the notation of a Host field."""
    word = text(value)
    bare = host_name(word)
    named = is_host_name(bare.removeprefix("*."))
    numeric = is_ip(bare.removeprefix("[").removesuffix("]"))
    if "/" in word or not (named or numeric):
        raise BadValue(f'{show(word)} is no host; write for example "example.com" or "*.example.com"')
    if bare != word.removesuffix(".").lower():
        raise BadValue(f"{show(word)} has a port, and hosts are compared without; write {show(bare)}")
    return bare


def origin(value: object) -> str:
    """An origin as browsers send it (RFC 6454 §6.2), in lower case; "https://*.suffix" is any host below."""
    word = text(value)
    parts = _ORIGIN.fullmatch(word.lower())
    if parts is None or not _is_origin_host(parts["host"]):
        raise BadValue(f'{show(word)} is no origin; write for example "https://app.example" or "https://*.app.example"')
    bare, port = f"{parts['scheme']}://{parts['host']}", parts["port"] or ""
    if parts["rest"]:
        raise BadValue(f"{show(word)} has a path, which browsers don't send; write {show(bare + port)}")
    if port and port == _OWN_PORTS.get(parts["scheme"]):
        raise BadValue(f"{show(word)} has the scheme's own port, which browsers leave out; write {show(bare)}")
    return word.lower()


def _is_origin_host(host: str) -> bool:
    return is_host_name(host.removeprefix("*.")) or is_ip(host.removeprefix("[").removesuffix("]"))


def method(value: object) -> str:
    """A method. Methods are case-sensitive (RFC 9110 §9.1), and all in use are in upper case."""
    word = text(value)
    if not _TOKEN.fullmatch(word):
        raise BadValue(f"{show(word)} is no method")
    if word != word.upper():
        raise BadValue(f"{show(word)} is not in upper case; write {show(word.upper())}")
    return word


def protocol(value: object) -> str:
    """A protocol as the Upgrade field names it (RFC 9110 §7.8), in lower case."""
    word = text(value)
    if not _PROTOCOL.fullmatch(word):
        raise BadValue(f'{show(word)} is no protocol such as "websocket"')
    return word.lower()


def fallback_status(value: object) -> int:
    """A status after which the fallback is tried (design §6)."""
    status = integer(value)
    if 400 <= status <= 499:
        raise BadValue(f"{status} is the client's fault: 4xx never falls back")
    if not 500 <= status <= 599:
        raise BadValue(f"must be between 500 and 599, not {status}")
    return status
