"""Texts that a regular expression matches: a few for each, in which every alternative occurs."""

from __future__ import annotations

from attrs import define

from splicer.routing.pattern import compile_regex

_MOST = 6  # samples of one expression, and of each of its parts
_DEEPEST = 40
_CANDIDATES = "a0A-_.~/x1 Z:@!$&'()*+,;=%"
_ESCAPES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "t": "\t", "n": "\n", "C": "a"}
_EMPTY = "bBAzQE"


def samples(regex: str) -> list[str]:
    """Some texts that an RE2 expression probably matches; the caller tries them.

    Args:
        regex: an expression that RE2 accepts.
    """
    try:
        return _Reader(regex).alternatives(0)
    except (IndexError, ValueError):
        return []


def _varied(parts: list[list[str]]) -> list[str]:
    """The first of each part in one text, then texts in which one part is another of its own."""
    base = [part[0] for part in parts]
    texts = ["".join(base)]
    for index, part in enumerate(parts):
        texts += ["".join([*base[:index], other, *base[index + 1 :]]) for other in part[1:]]
    return list(dict.fromkeys(texts))[:_MOST]


@define
class _Reader:
    """Reads an expression once, from left to right."""

    text: str
    place: int = 0

    def alternatives(self, depth: int) -> list[str]:
        """The samples up to the end, or to the parenthesis that closes a group."""
        if depth > _DEEPEST:
            raise ValueError
        found = self._sequence(depth)
        while self.place < len(self.text) and self.text[self.place] == "|":
            self.place += 1
            found += self._sequence(depth)
        return list(dict.fromkeys(found))[: _MOST * 2]

    def _sequence(self, depth: int) -> list[str]:
        parts: list[list[str]] = []
        while self.place < len(self.text) and self.text[self.place] not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return _varied(parts) if parts else [""]

    def _atom(self, depth: int) -> list[str]:
        char = self._next()
        match char:
            case "(":
                return self._group(depth)
            case "[":
                return [self._class()]
            case "\\":
                return [self._escape()]
            case "^" | "$":
                return [""]
            case ".":
                return ["a"]
        return [char]

    def _next(self) -> str:
        self.place += 1
        return self.text[self.place - 1]

    def _group(self, depth: int) -> list[str]:
        if self.text.startswith("?", self.place):
            end = min(found for sign in ":>)" if (found := self.text.find(sign, self.place)) >= 0)
            self.place = end + 1
            if self.text[end] == ")":  # flags alone
                return [""]
        inner = self.alternatives(depth + 1)
        self._next()
        return inner

    def _class(self) -> str:
        start = self.place - 1
        self.place += self.text.startswith("^", self.place)
        self.place += self.text.startswith("]", self.place)
        while (char := self._next()) != "]":
            if char == "\\":
                self._next()
            elif char == "[" and self.text.startswith(":", self.place):
                self.place = self.text.index(":]", self.place) + 2
        one = compile_regex(self.text[start : self.place])
        inside = self.text[start : self.place]
        matched: list[str] = [char for char in (*_CANDIDATES, *inside) if one.search(char.encode()) is not None]
        return matched[0]

    def _escape(self) -> str:
        char = self._next()
        if char in _EMPTY:
            return ""
        if char in "pP":
            self.place = self.text.index("}", self.place) + 1 if self.text[self.place] == "{" else self.place + 1
            return "a"
        if char == "x":
            digits = self.text[self.place : self.place + 2]
            self.place += 2
            return chr(int(digits, 16))
        return _ESCAPES.get(char, char)

    def _repeated(self, atom: list[str]) -> list[str]:
        if self.place >= len(self.text) or self.text[self.place] not in "*+?{":
            return atom
        sign = self._next()
        least = 0
        if sign == "{":
            end = self.text.index("}", self.place)
            words = self.text[self.place : end].split(",")
            least = min(int(words[0] or 0), 1000)
            self.place = end + 1
        self.place += self.text.startswith("?", self.place)
        if sign == "+":
            return atom
        return [each * least for each in atom] if least else [*atom, ""]
