"""Facts about a regular expression that follow from its text: its leading literal, and repeated group names."""

from __future__ import annotations

import re

_OPAQUE = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_GROUP_NAME = re.compile(r"\(\?P?<(\w+)>")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+\)")
_PLAIN = re.compile(r"(?:[^\\.\[\]()*+?{}|^$]|\\[^a-zA-Z0-9])*")


def _skeleton(regex: str) -> str:
    """The regex with each escape and each class replaced by "x"; all parentheses and bars left are operators."""
    return _OPAQUE.sub("x", regex)


def _alternates(regex: str) -> bool:
    """Whether a bar is outside of all groups, so that "^" belongs to only one branch."""
    depth = 0
    for character in _skeleton(regex):
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            return True
    return False


def leading_literal(regex: str) -> str:
    """The text that every match of an anchored regex begins with; "" if that is unknown.

    Invariant: `regex` finds a match in a text only if the text starts with the result.
    """
    if not regex.startswith("^") or _alternates(regex):
        return ""
    plain = _PLAIN.match(regex, 1)
    end = plain.end() if plain else 1
    atoms = re.findall(r"\\?.", regex[1:end], re.DOTALL)
    # A quantifier may make the last character optional; RE2 also takes one behind flags: "^a(?i)*".
    if regex[end : end + 1] in {"*", "?", "{"} or _FLAGS.match(regex, end):
        atoms = atoms[:-1]
    return "".join(atom[-1] for atom in atoms)


def repeated_names(regex: str) -> list[str]:
    """The group names that occur twice: RE2 accepts them, and ignores all but the first group."""
    names = _GROUP_NAME.findall(_skeleton(regex))
    return sorted({name for name in names if names.count(name) > 1})
