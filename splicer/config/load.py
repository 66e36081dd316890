"""Loading the text of a routing.toml: the result is one `Config`, or all faults of the text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from attrs import AttrsInstance, Factory, define

from splicer.config.environment import Unresolved, expand_all
from splicer.config.error_pages import read_error_pages
from splicer.config.fixed_hosts import Hosts
from splicer.config.hooks import read_hook
from splicer.config.passthrough import listener_faults, read_passthrough
from splicer.config.reader import Fault, Reader, toml_key
from splicer.config.routes import read_route
from splicer.config.scalars import printable, show, suggest
from splicer.config.schema import Config, ServerSettings
from splicer.config.sections import SECTIONS, clashes, unused_log_keys
from splicer.config.tls import MOST_PROFILES, TlsProfile, read_profile
from splicer.config.tracing import TracingSettings, read_tracing
from splicer.config.upstreams import read_upstream
from splicer.errors import ConfigError
from splicer.hook_settings import HookSettings
from splicer.ipc.route_board import MOST_ROUTES
from splicer.model import Deadlines, Route, Upstream

T = TypeVar("T", bound=AttrsInstance)

BYTE_ORDER_MARK = "\ufeff"

_RULES: Mapping[str, Any] = {"server": clashes, "log": unused_log_keys}
_KNOWN = (*SECTIONS, "upstreams", "routes", "errors", "tracing", "passthrough", "hooks", "tls")
_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(text: str, *, name: str = "routing.toml", environ: Mapping[str, str]) -> Config:
    """Read a configuration.

    Args:
        text: the text of the file; a byte-order mark is skipped (`splicer check` warns of it).
        name: the file's name, for the faults.
        environ: the environment for ``${NAME}``.

    Raises:
        ConfigError: all faults of the file, each one line that begins with `name`. No other error is ever raised.
    """
    try:
        document = expand_all(_parse(text.removeprefix(BYTE_ORDER_MARK)), environ)
    except ValueError as error:
        raise ConfigError((printable(f"{name}: {error}"),)) from None
    loading = _Loading(document)
    loading.check_sections()
    sections = {key: loading.section(key, reader, _RULES.get(key)) for key, reader in SECTIONS.items()}
    upstreams = loading.upstreams(sections["resolver"].hosts)
    hooks = loading.hooks()
    routes = loading.routes(upstreams, sections["deadlines"], hooks)
    tls = loading.tls(sections["server"])
    loading.certificates(sections["server"], tls, routes)
    errors, faults = read_error_pages(loading.document.get("errors", []))
    tables = loading.document.get("passthrough", [])
    passthrough, more = read_passthrough(tables, upstreams, sections["deadlines"])
    for place, fault in (*faults, *more):
        loading.add(place, [fault], ": ")
    loading.faults += listener_faults(sections["server"], given=bool(tables))
    tracing = loading.tracing()
    if loading.faults:
        raise ConfigError(tuple(printable(f"{name}: {fault}") for fault in dict.fromkeys(loading.faults)))
    sound = {key: upstream for key, upstream in (upstreams or {}).items() if upstream is not None}
    made = {key: hook for key, hook in (hooks or {}).items() if hook is not None}
    return Config(
        **sections,
        upstreams=sound,
        routes=routes,
        errors=errors,
        hooks=made,
        tls=tls,
        tracing=tracing,
        passthrough=passthrough,
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(_with_position(str(error), text)) from None
    except RecursionError:
        raise ValueError("lists or tables are nested too deep") from None
    except ValueError:  # an integer with more digits than Python converts
        raise ValueError("an integer has too many digits") from None


def _with_position(message: str, text: str) -> str:
    """The parser's message with the line and the column in front."""
    parts = _POSITION.fullmatch(message)
    if parts is None:
        return message
    end = text.rstrip("\n")
    line, column = parts[2] or end.count("\n") + 1, parts[3] or len(end) - end.rfind("\n")
    return f"line {line}, column {column}: {parts[1]}"


@define
class _Loading:
    """A document that is being converted to a `Config`, and the faults found so far."""

    document: dict[str, Any]
    faults: list[str] = Factory(list)

    def add(self, place: str, faults: Iterable[Fault], joint: str = ".") -> None:
        for fault in faults:
            self.faults.append(f"{joint.join((place, fault.key)) if fault.path else place}: {fault.text}")

    def check_sections(self) -> None:
        for key in self.document:
            if key not in _KNOWN:
                self.faults.append(f"{toml_key(key)}: unknown section{suggest(key, _KNOWN)}")

    def section(
        self, key: str, reader: Reader[T], rules: Callable[[T, frozenset[str]], Iterable[Fault]] | None = None
    ) -> T:
        """One table, with the defaults for keys that have faults; `rules` finds the faults between keys."""
        reading = reader.read(self.document.get(key, {}))
        self.add(key, reading.faults)
        value = reader({}) if reading.value is None else reading.value
        if rules is not None:
            self.add(key, rules(value, reading.broken))
        return value

    def tracing(self) -> TracingSettings | None:
        """The section; None: there is none, and its presence alone changes what pods get."""
        if "tracing" not in self.document:
            return None
        settings, faults = read_tracing(self.document["tracing"])
        self.add("tracing", faults)
        return settings

    def upstreams(self, hosts: Hosts) -> dict[str, Upstream | None] | None:
        """All upstreams; a value is None for one with faults; the result is None if `upstreams` is no table."""
        tables = self.document.get("upstreams", {})
        if not isinstance(tables, dict):
            self.faults.append(f"upstreams: must be tables such as [upstreams.pod], not {show(tables)}")
            return None
        upstreams: dict[str, Upstream | None] = {}
        for name, table in tables.items():
            upstreams[name], faults = read_upstream(name, table, hosts)
            self.add(f"upstreams.{toml_key(name)}", faults)
        return upstreams

    def hooks(self) -> dict[str, HookSettings | None] | None:
        """All hooks; a value is None for one with faults; the result is None if `hooks` is no table."""
        tables = self.document.get("hooks", {})
        if not isinstance(tables, dict):
            self.faults.append(f"hooks: must be tables such as [hooks.signature], not {show(tables)}")
            return None
        hooks: dict[str, HookSettings | None] = {}
        for name, table in tables.items():
            hooks[name], faults = read_hook(name, table)
            self.add(f"hooks.{toml_key(name)}", faults)
        return hooks

    def tls(self, server: ServerSettings) -> dict[str, TlsProfile]:
        """All profiles that have no fault; a listener's must be among them."""
        tables = self.document.get("tls", {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            self.faults.append("tls: must be tables such as [tls.edge], whose name a listener's tls has")
            return {}
        if len(tables) > MOST_PROFILES:
            self.faults.append(f"tls: has {len(tables)} tables, and at most {MOST_PROFILES} may stand there")
        profiles: dict[str, TlsProfile] = {}
        for name, table in tables.items():
            profile, faults = read_profile(name, table)
            self.add(f"tls.{toml_key(name)}", faults)
            if profile is not None:
                profiles[name] = profile
        for number, listener in enumerate(server.listen, 1):
            if listener.tls is not None and listener.tls not in tables:
                known = suggest(listener.tls, tables) or f"; write a table [tls.{toml_key(listener.tls)}]"
                self.faults.append(f"server.listen.{number}.tls: there is no {show(listener.tls)}{known}")
        return profiles

    def certificates(self, server: ServerSettings, profiles: Mapping[str, TlsProfile], routes: Iterable[Route]) -> None:
        """Routes that want a client's certificate, of which no listener asks for one."""
        names = [listener.tls for listener in server.listen if listener.tls is not None]
        used = [profiles[name] for name in names if name in profiles]
        if self.faults or any(profile.client_certificate != "off" for profile in used):
            return
        for index, route in enumerate(routes, 1):
            if route.client_names:
                self.faults.append(
                    f"routes {index} {show(route.name)}: client_names: no listener asks for a certificate; write "
                    'client_certificate = "request" and client_ca in the [tls.NAME] of one'
                )

    def routes(
        self,
        upstreams: Mapping[str, Upstream | None] | None,
        deadlines: Deadlines,
        hooks: Mapping[str, HookSettings | None] | None,
    ) -> tuple[Route, ...]:
        """All routes that have no fault."""
        tables = self.document.get("routes", [])
        if not isinstance(tables, list):
            self.faults.append("routes: must be an array of tables; write [[routes]] above each route")
            return ()
        if not tables:
            self.faults.append("routes: there is none; write at least one [[routes]] table")
        sound = []
        indices: dict[str, int] = {}
        for index, table in enumerate(tables, 1):
            name = _route_name(table)
            place = f"routes {index} {show(name)}" if name else f"routes {index}"
            if name and (namesake := indices.setdefault(name, index)) != index:
                self.add(place, [Fault(("name",), f"routes {namesake} has the same name")], ": ")
            route, faults = read_route(index, table, upstreams, deadlines, hooks)
            self.add(place, faults, ": ")
            if route is not None:
                sound.append(route)
        limited = sum(route.max_tunnels is not None for route in sound)
        if limited > MOST_ROUTES:
            fault = f"{limited} have max_tunnels, and at most {MOST_ROUTES} may; leave it out of some"
            self.faults.append(f"routes: {fault}")
        return tuple(sound)


def _route_name(table: object) -> str | None:
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and not isinstance(name, Unresolved) else None
