"""A reload in a worker: the text that the supervisor has accepted is read and put into force."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

from splicer.configfile.read import Prepared
from splicer.errors import ConfigError
from splicer.worker.newest import NewestOnly, Start


class Reloads:
    """Reloads one at a time. A reload that fails changes nothing.

    Args:
        start: starts a task.
        read: reads the text behind a descriptor, which it closes.
        apply: puts a configuration into force, completely or not at all.
        failed: called with the reason if a reload fails.
        done: called when the newest reload was tried.
    """

    def __init__(
        self,
        start: Start,
        read: Callable[[int], Awaitable[Prepared]],
        apply: Callable[[Prepared], None],
        failed: Callable[[str], None],
        done: Callable[[], None],
    ) -> None:
        self._read = read
        self._apply = apply
        self._failed = failed
        self._newest = NewestOnly[Sequence[int]](start, self._reload, done, drop=_close)

    def ask(self, fds: Sequence[int]) -> None:
        """Put a text into force soon.

        Args:
            fds: the text's descriptor, which is owned from now on; empty: no descriptor was left to receive it.
        """
        self._newest.ask(fds)

    async def _reload(self, fds: Sequence[int]) -> None:
        try:
            if not fds:
                raise OSError("no descriptor is left for the text")  # noqa: TRY301 - reported like any other reason
            self._apply(await self._read(fds[0]))
        except ConfigError as error:
            self._failed(error.detail)
        except Exception as error:  # noqa: BLE001 - it would end the process, which has calls
            self._failed(repr(error))


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
