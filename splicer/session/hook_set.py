"""The hooks of one configuration in use: they are closed when the last request that knows them is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from splicer.configfile.hooks import NO_HOOKS, HookGeneration, LoadedHook
from splicer.model import Upstream

_CLOSE_TIMEOUT = 5.0  # seconds for one hook

Start = Callable[..., None]
Failed = Callable[[str, str], None]


class HookSet:
    """Hooks, with the number of requests that use them.

    Args:
        generation: what was loaded.
        upstreams: those that a hook may choose, by name.
    """

    def __init__(self, generation: HookGeneration = NO_HOOKS, upstreams: Mapping[str, Upstream] | None = None) -> None:
        self.upstreams = upstreams or {}
        self._generation = generation
        self._users = 0
        self._close: Callable[[], None] | None = None

    def __getitem__(self, name: str) -> LoadedHook:
        return self._generation.hooks[name]

    def get(self, name: str) -> LoadedHook | None:
        """A hook; None: this configuration has none of the name."""
        return self._generation.hooks.get(name)

    def __enter__(self) -> HookSet:
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        self._close_if_unused()

    def retire(self, start: Start, failed: Failed) -> None:
        """Close the hooks as soon as no request uses them.

        Args:
            start: starts a task.
            failed: called with a hook's name and the reason if it can't be closed.
        """
        self._close = lambda: start(self._close_all, failed)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._close is not None and not self._users:
            close, self._close = self._close, None
            close()

    async def _close_all(self, failed: Failed) -> None:
        for name, hook in self._generation.hooks.items():
            if hook.aclose is not None and (reason := await _ended(hook.aclose)) is not None:
                failed(name, reason)
        self._generation.forget()


# Foreign code may raise anything; only the worker's own end passes through.
async def _ended(aclose: Callable[[], Awaitable[Any]]) -> str | None:
    """Why a hook could not be closed; None: it was."""
    try:
        with trio.move_on_after(_CLOSE_TIMEOUT):
            await aclose()
            return None
    except trio.Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - see above
        return repr(error)
    return f"aclose took more than {_CLOSE_TIMEOUT:g} s"
