"""What a Dockerfile says: its stages, each with its instructions in order (Dockerfile reference)."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import translate
from pathlib import Path

from attrs import Factory, frozen


@frozen
class Instruction:
    """One line of a Dockerfile, continuation lines joined.

    Args:
        name: in upper case: COPY, RUN ...
        flags: what stands before the text as --NAME=VALUE.
        text: all the rest.
    """

    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The text as JSON, if it is that (the exec form), else as a shell would split it."""
        return [str(word) for word in json.loads(self.text)] if self.text.startswith("[") else shlex.split(self.text)


@frozen
class Stage:
    """What stands from one FROM to the next."""

    base: str
    name: str | None
    instructions: list[Instruction] = Factory(list)

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of one name, in order."""
        return [found for found in self.instructions if found.name == name]

    def one(self, name: str) -> Instruction:
        """Its only instruction of that name."""
        (found,) = self.all(name)
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """What its ENV, ARG or LABEL lines set; an ARG without a default is empty."""
        words = [word for found in self.all(name) for word in found.words]
        return {key: value for key, _, value in (word.partition("=") for word in words)}


def stages(text: str) -> list[Stage]:
    """Read a Dockerfile."""
    found: list[Stage] = []
    uncommented = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", uncommented).splitlines():
        if not line.strip():
            continue
        instruction = _instruction(line)
        if instruction.name == "FROM":
            base, *named = instruction.words
            found.append(Stage(base, named[1] if named else None))
        elif found:
            found[-1].instructions.append(instruction)
    return found


def _instruction(line: str) -> Instruction:
    name, rest = line.split(maxsplit=1)
    flags = {}
    while flag := re.match(r"--([a-z]+)=(\S+)\s+", rest):
        flags[flag[1]] = flag[2]
        rest = rest[flag.end() :]
    return Instruction(name.upper(), flags, rest)


def left_out(ignored: str, path: Path) -> bool:
    """Whether a .dockerignore keeps a file out of the build: the last pattern that takes it or a directory above it.

    Args:
        ignored: the text of .dockerignore.
        path: relative to the checkout.
    """
    verdict = False
    for line in ignored.splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(_takes(pattern, above) for above in (path, *path.parents)):
            verdict = not line.startswith("!")
    return verdict


def _takes(pattern: str, path: Path) -> bool:
    anywhere = pattern.removeprefix("**/")
    starts = range(len(path.parts)) if anywhere != pattern else range(1)
    return any(
        len(parts) == anywhere.count("/") + 1 and re.match(translate(anywhere), "/".join(parts))
        for parts in (path.parts[start:] for start in starts)
    )
