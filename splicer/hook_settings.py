"""``[hooks.NAME]`` as a value, and how a request ends because of a hook."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from splicer.errors import Side, SplicerError
from splicer.hooks import Answer

OptionValue = str | int | float | bool | tuple[str, ...]
HookOutcome = Literal["continued", "answered", "failed", "deadline"]


@frozen
class HookSettings:
    """One table.

    Args:
        name: its key under ``[hooks]``.
        use: the module, a colon, and the class in it.
        path: the directory of the module; None: it is installed beside splicer.
        options: the keyword arguments for the class.
        captures: the captures that it gives to each request that goes on.
        deadline: seconds for one request.
        on_failure: what happens to a request whose hook fails.
    """

    name: str
    use: str
    path: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()
    captures: tuple[str, ...] = ()
    deadline: float = 0.2
    on_failure: Literal["refuse", "continue"] = "refuse"

    @property
    def module(self) -> str:
        """The module's name."""
        return self.use.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The class's name."""
        return self.use.partition(":")[2]


class HookFailed(SplicerError):
    """A hook raised an exception, took too long, or decided something that is not possible."""

    status = 503
    reason = "hook_failed"


class HookAnswered(SplicerError):
    """A hook has decided about the answer; nothing is wrong.

    Args:
        hook: its name.
        answer: for the client.
    """

    side = Side.PROXY
    reason = "hook_answered"

    def __init__(self, hook: str, answer: Answer) -> None:
        super().__init__(hook)
        self.status = answer.status
        self.answer = answer
