"""``[hooks.NAME]``: Python classes of the operator's, which decide about requests."""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

from splicer.config import kinds, scalars
from splicer.config.keys import key, shared
from splicer.config.kinds import Kind
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, resolved, show, table_of, text
from splicer.config.values import duration, format_duration
from splicer.hook_settings import HookSettings, OptionValue

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_USE = re.compile(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}")
_MOST = 2**63
_LONGEST_SECONDS = 10.0  # a worker whose request waits longer holds up a handover


def use(value: object) -> str:
    """The module and the class: "module:Class"."""
    word = text(value)
    if not _USE.fullmatch(word):
        raise BadValue(f'{show(word)} is no module and class; write for example "voice_hooks:TwilioSignature"')
    return word


def directory(value: object) -> str:
    """The directory of a hook's module."""
    word = text(value)
    if not word.startswith("/") or "\0" in word:
        raise BadValue(f"{show(word)} is no absolute path; a relative one would depend on where splicer is started")
    return word


def option(value: object) -> OptionValue:
    """The value of one option."""
    value = resolved(value)
    if isinstance(value, list):
        return scalars.list_of(text)(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool | int | float) and abs(value) < _MOST:  # nor NaN
        return value
    raise BadValue(f"must be a string, a number, true, false or a list of strings, not {show(value)}")


def _option_name(word: str) -> str:
    if not re.fullmatch(_IDENTIFIER, word):
        raise BadValue("an option is a keyword argument: letters, digits and _, no digit first")
    return word


def _capture(value: object) -> str:
    word = text(value)
    if not word.isidentifier():
        raise BadValue(f"{show(word)} is no capture's name")
    return word


def _deadline(value: object) -> float:
    seconds = duration(value)
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise BadValue(f"must be more than 0 and at most {format_duration(_LONGEST_SECONDS)}")
    return seconds


_OPTION_SCHEMA = {
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {"type": "array", "items": kinds.TEXT.schema},
    ]
}
# Their values may be secrets, and the log of a reload has lines about changes.
_OPTIONS: Kind[tuple[tuple[str, OptionValue], ...]] = Kind(
    table_of(_option_name, option),
    lambda pairs: {name: list(value) if isinstance(value, tuple) else value for name, value in pairs},
    {"type": "object", "additionalProperties": _OPTION_SCHEMA},
    "table of strings, numbers, booleans and lists of strings",
    brief=lambda pairs: ", ".join(name for name, _ in pairs),
)
_DEADLINE = Kind(
    _deadline, format_duration, kinds.DURATION.schema, f"duration, {format_duration(_LONGEST_SECONDS)} at most"
)


@frozen
class HookSpec:
    """The keys of one table; see `hook_settings.HookSettings`."""

    use: str = key(
        kinds.text(use, "module and class", pattern=_USE.pattern),
        'The module and the class in it, such as `"voice_hooks:TwilioSignature"`.',
    )
    path: str | None = key(
        kinds.text(directory, "absolute path"),
        "The directory of the module, which is read again at each reload. Nothing is put on `sys.path`: a module that "
        "needs others of its own is a package.",
        default=None,
        absent="an installed module, which is read once by each process",
    )
    options: tuple[tuple[str, OptionValue], ...] = key(
        _OPTIONS, "The keyword arguments for the class.", default=(), absent="none"
    )
    captures: tuple[str, ...] = key(
        kinds.list_of(kinds.text(_capture, "name"), "names", empty="leave the key out for none"),
        "The captures that the hook gives to every request that it lets go on, beside those of the route's pattern.",
        default=(),
        absent="none",
    )
    deadline: float = key(_DEADLINE, "The time that the hook has for a request.", default=0.2)
    on_failure: Literal["refuse", "continue"] = key(
        kinds.choice("refuse", "continue"),
        "A request whose hook fails, or exceeds its deadline, gets 503, or goes on as if there were no hook.",
        default="refuse",
    )


HOOK = Reader(HookSpec)


def hook_spec_of(settings: HookSettings) -> HookSpec:
    """The equivalent table: the inverse of `read_hook`."""
    return HookSpec(**shared(settings, HookSpec))


def read_hook(name: str, table: object) -> tuple[HookSettings | None, tuple[Fault, ...]]:
    """One hook, or None and its faults.

    Args:
        name: its key under ``[hooks]``.
        table: the value that TOML gave.
    """
    reading = HOOK.read(table)
    faults = reading.faults
    try:
        scalars.name(name)
    except BadValue as fault:
        faults = (Fault((), str(fault)), *faults)
    if reading.value is None or faults:
        return None, faults
    if reading.value.captures and reading.value.on_failure == "continue":
        clash = 'can\'t be "continue" beside captures, which nothing would give; write "refuse"'
        return None, (Fault(("on_failure",), clash),)
    return HookSettings(name, **shared(reading.value, HookSettings)), ()
