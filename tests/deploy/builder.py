"""Follows a Dockerfile's instructions as they are written, in containers of ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

from attrs import Factory, define, frozen

from tests.deploy.container import PATH_OF_BASE, Container
from tests.deploy.dockerfile import Instruction, Stage, left_out

_ABOUT = {"LABEL", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}  # say something about the image, do nothing


@frozen
class Image:
    """What a build leaves.

    Args:
        container: its tree.
        environment: of whatever runs in it.
        cwd: where that starts.
    """

    container: Container
    environment: dict[str, str]
    cwd: str

    def command(self, *command: str) -> list[str]:
        """The command line that runs something in it, as a pod does."""
        return self.container.command(list(command), self.cwd, self.environment)


@define
class Build:
    """One stage on its way.

    Args:
        context: the checkout.
        container: where the stage is built.
        others: the stages before it, for COPY --from.
    """

    context: Path
    container: Container
    others: dict[str, Container]
    environment: dict[str, str] = Factory(lambda: {"PATH": PATH_OF_BASE})
    arguments: dict[str, str] = Factory(dict)
    cwd: str = "/"

    def follow(self, stage: Stage) -> Image:
        """Carry out every instruction of a stage.

        Raises:
            AssertionError: a command failed, or an instruction is not known here.
        """
        for instruction in stage.instructions:
            self._carry_out(instruction)
        return Image(self.container, self.environment, self.cwd)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction.name:
            case "ARG":
                self.arguments |= self._settings(instruction)
            case "ENV":
                self.environment |= self._settings(instruction)
            case "WORKDIR":
                self.cwd = instruction.text
                self.container.path(self.cwd).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(instruction)
            case "RUN":
                self.container.build(instruction.text, self.cwd, self.arguments | self.environment)
            case other:
                assert other in _ABOUT, f"what does {other} do?"

    def _settings(self, instruction: Instruction) -> dict[str, str]:
        known = self.arguments | self.environment
        pairs = (word.partition("=") for word in instruction.words)
        return {name: Template(value).substitute(known) for name, _, value in pairs}

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words
        for source in sources:
            origin, name = instruction.flags.get("from"), Path(source)
            found = self.others[origin].path(source) if origin else self.context / name
            inside = Path(self.cwd, target, name.name) if target.endswith("/") else Path(self.cwd, target)
            to = self.container.path(str(inside))
            to.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, to, symlinks=True, ignore=None if origin else self._left_out)
            else:
                shutil.copyfile(found, to)
                to.chmod(int(instruction.flags.get("chmod", "0644"), 8))

    def _left_out(self, directory: str, names: list[str]) -> set[str]:
        ignored = (self.context / ".dockerignore").read_text()
        inside = Path(directory).relative_to(self.context)
        return {name for name in names if left_out(ignored, inside / name)}
