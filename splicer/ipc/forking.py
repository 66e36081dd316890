"""The messages between the supervisor and the template, which forks processes for it (`splicer.template`)."""

from __future__ import annotations

from typing import ClassVar

from splicer.ipc.message import Answer, Message, Request, message


class TemplateOrder(Message):
    """From the supervisor to the template."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


class TemplateReport(Message):
    """From the template to the supervisor."""

    __slots__ = ()
    KINDS: ClassVar[dict[str, type[Message]]] = {}


@message("loaded", since=1)
class Loaded(TemplateReport):
    """The template has imported everything, and can fork."""


@message("forked", since=1)
class Forked(TemplateReport, Answer):
    """The outcome of a fork.

    Args:
        pid: the new process; 0: there is none.
        error: why there is none (errno(3)).
    """

    pid: int
    error: int = 0


@message("parsed", since=1)
class Parsed(TemplateReport, Answer):
    """The template has read a configuration, whether or not it is a good one, and can fork again."""


@message("parse", since=1)
class Parse(TemplateOrder, Request):
    """Parse a configuration for the processes that are forked later; a descriptor has the text.

    Args:
        path: the file to read, if there is no descriptor; a fault in it is reported by those that read it.
    """

    ANSWER = Parsed

    path: str


@message("fork", since=1)
class Fork(TemplateOrder, Request):
    """Fork a process; the descriptors are those that it gets.

    Args:
        program: the module that it runs (`supervisor.launch.FORKED`).
        words: its command line, beginning with the first argument.
        numbers: the number of each descriptor in the new process.
        group: whether it gets a process group of its own.
    """

    ANSWER = Forked

    program: str
    words: tuple[str, ...]
    numbers: tuple[int, ...]
    group: bool = False
