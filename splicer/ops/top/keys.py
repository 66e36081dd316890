"""Keys out of the bytes that a terminal sends (ECMA-48; xterm's control sequences)."""

from __future__ import annotations

import codecs
import re

# An arrow is ESC [ A, or ESC O A in the keypad's application mode.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")
_LONGEST = 32  # characters; what is longer is no key
_NAMES = {
    "A": "up",
    "B": "down",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "7~": "home",
    "8~": "end",
    "5~": "page-up",
    "6~": "page-down",
}
_CONTROLS = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "escape", "\x15": "clear"}


class KeyReader:
    """Reads keys: a name such as "up", or the character itself. What is neither is passed over."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._begun = ""

    @property
    def waits(self) -> bool:
        """Whether an escape sequence has begun: what doesn't go on soon was the key Esc."""
        return bool(self._begun)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole with the next bytes."""
        text, self._begun = self._begun + self._decoder.decode(data), ""
        keys: list[str] = []
        place = 0
        while place < len(text):
            if text[place] != "\x1b":
                keys += _plain(text[place])
                place += 1
            elif whole := _SEQUENCE.match(text, place):
                keys += _named(whole[0][2:])
                place = whole.end()
            elif (begun := _BEGUN.match(text, place)) and begun.end() == len(text) and len(begun[0]) <= _LONGEST:
                self._begun = begun[0]
                place = len(text)
            else:
                keys.append("escape")
                place += 1
        return keys

    def flush(self) -> list[str]:
        """The keys that have begun, when nothing has followed for a while."""
        begun, self._begun = self._begun, ""
        return ["escape"] if begun else []


def _named(rest: str) -> list[str]:
    name = _NAMES.get(rest)
    return [] if name is None else [name]


def _plain(character: str) -> list[str]:
    if character in _CONTROLS:
        return [_CONTROLS[character]]
    return [character] if character.isprintable() else []
