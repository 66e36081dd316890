"""A logger whose lines are kept."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field

from splicer.observe.log import Logger


@define
class Logged:
    """`logger` is given to who logs; `lines` has what was logged, by event."""

    lines: list[tuple[str, dict[str, Any]]] = field(factory=list)

    @property
    def logger(self) -> Logger:
        return cast("Logger", self)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of all lines with this event, and their level."""
        return [fields for name, fields in self.lines if name == event]

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, {"level": "info", **fields}))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, {"level": "warning", **fields}))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, {"level": "error", **fields}))
