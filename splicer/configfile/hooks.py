"""Loading hooks: foreign code is imported and its classes are instantiated, afresh for each configuration."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import SourceFileLoader
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import frozen

from splicer.config.reader import toml_key
from splicer.config.scalars import printable
from splicer.errors import ConfigError
from splicer.hook_settings import HookSettings

_GENERATIONS = count(1)
_LONGEST_REASON = 300  # characters of an exception's text


class _Unusable(Exception):
    """A hook that can't be used; its text says why, and what to do."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


@frozen
class LoadedHook:
    """A hook that can be called.

    Args:
        settings: its table.
        instance: the object of its class.
        on_request: decides about a request; None: the class has no such method.
        on_call_end: is told of calls; None: the class has no such method.
        aclose: closes it; None: there is nothing to close.
    """

    settings: HookSettings
    instance: object
    on_request: Callable[..., Any] | None
    on_call_end: Callable[..., Any] | None
    aclose: Callable[..., Any] | None


@frozen
class HookGeneration:
    """The hooks of one configuration.

    Args:
        hooks: by name.
        package: the beginning of the names of their modules.
    """

    hooks: Mapping[str, LoadedHook]
    package: str = ""

    def forget(self) -> None:
        """Let the modules go, with the last object that refers to them."""
        for name in [name for name in sys.modules if self.package and name.startswith(f"{self.package}_")]:
            del sys.modules[name]


NO_HOOKS = HookGeneration({})


# The modules of one configuration have a name of their own, so that a reload reads their code anew while the old code
# still serves.
def load_hooks(name: str, wanted: Iterable[HookSettings]) -> HookGeneration:
    """Import and instantiate hooks. Foreign code runs, and may take as long as it likes.

    Args:
        name: the configuration's file, for the faults.
        wanted: their tables.

    Raises:
        ConfigError: the faults of all hooks that can't be used.
    """
    loaded: dict[str, LoadedHook] = {}
    faults: list[str] = []
    package = f"splicer_hooks_{next(_GENERATIONS)}"
    for settings in wanted:
        try:
            loaded[settings.name] = _load(settings, package)
        except _Unusable as fault:
            faults.append(printable(f"{name}: hooks.{toml_key(settings.name)}.{fault.key}: {fault}"))
    generation = HookGeneration(loaded, package)
    if faults:
        generation.forget()
        raise ConfigError(tuple(faults))
    return generation


def _load(settings: HookSettings, package: str) -> LoadedHook:
    module = _foreign("use", f"{settings.module} can't be imported", lambda: _module(settings, package))
    cls = getattr(module, settings.attribute, None)
    if not isinstance(cls, type):
        raise _Unusable("use", f"{settings.module} has no class {settings.attribute}")
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.options}
    instance = _foreign("options", f"{settings.attribute}({', '.join(options)}) fails", lambda: cls(**options))
    return _checked(settings, instance)


def _module(settings: HookSettings, package: str) -> ModuleType:
    if settings.path is None:
        return importlib.import_module(settings.module)
    first, *rest = settings.module.split(".")
    private = f"{package}_{first}"
    if private not in sys.modules:
        _import_file(Path(settings.path), first, private)
    return importlib.import_module(".".join((private, *rest)))


# A cached bytecode file is recognised by its source's size and second: code that was changed twice in a second, or that
# was mounted with old times, would be taken for what it was before.
class _FreshLoader(SourceFileLoader):
    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError(f"{path} is always compiled")


def _import_file(directory: Path, name: str, private: str) -> None:
    folder, file = directory / name, directory / f"{name}.py"
    package = folder / "__init__.py"
    places: list[str] | None
    if package.is_file():
        file, places = package, [str(folder)]
    elif file.is_file():
        places = None
    else:
        raise _Unusable("path", f"{directory} has neither {name}.py nor {name}/__init__.py")
    loader = _FreshLoader(private, str(file))
    spec = importlib.util.spec_from_file_location(private, file, loader=loader, submodule_search_locations=places)
    assert spec is not None  # noqa: S101 - it has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[private]
        raise


# What foreign code raises is a fault of the file: a SystemExit, too, must not end a worker. The exception is not kept,
# for its traceback refers to frames of the foreign code.
def _foreign(key: str, what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except _Unusable:
        raise
    except BaseException as error:  # noqa: BLE001 - see above
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    raise _Unusable(key, f"{what}: {reason}")


def _checked(settings: HookSettings, instance: object) -> LoadedHook:
    on_request, on_call_end, aclose = (
        _method(settings, instance, name, awaited=awaited)
        for name, awaited in (("on_request", True), ("on_call_end", False), ("aclose", True))
    )
    if on_request is None and on_call_end is None:
        raise _Unusable("use", f"{settings.attribute} has neither on_request nor on_call_end; see docs/hooks.md")
    if settings.captures and on_request is None:
        raise _Unusable("captures", f"{settings.attribute} has no on_request, which would give them")
    return LoadedHook(settings, instance, on_request, on_call_end, aclose)


def _method(settings: HookSettings, instance: object, name: str, *, awaited: bool) -> Callable[..., Any] | None:
    method = _foreign("use", f"{settings.attribute}.{name} fails", lambda: getattr(instance, name, None))
    if method is None:
        return None
    if not callable(method) or inspect.iscoroutinefunction(method) is not awaited:
        kind = "async def" if awaited else "def"
        raise _Unusable("use", f"{settings.attribute}.{name} must be a method; write {kind} {name}(self, ...)")
    found: Callable[..., Any] = method
    return found
