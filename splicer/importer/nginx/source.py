r"""Parsing nginx.conf into statements: crossplane's lexer and checks, with includes and ``${NAME}`` filled in here.

crossplane reads ``${X} valid=10s`` as one word, and leaves ``\n`` in a string as two characters; so references are
marked before the text is lexed, and escapes are resolved afterwards, as ngx_conf_read_token() does.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import crossplane
from attrs import Factory, define, field
from crossplane.analyzer import analyze, enter_block_ctx
from crossplane.errors import NgxParserBaseException

from splicer.importer.directive import Directive, ImportFault

MARK, END = "\x01", "\x02"  # around the name of a ${reference}
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MARKED = re.compile(f"{MARK}([A-Za-z0-9_]+){END}|\\$([A-Z][A-Z0-9_]*)(?![A-Za-z0-9_])")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}
_ESCAPED = re.compile(r"""\\([trn"'\\])""")
_MOST_FILES = 1000
_DEEPEST = 50  # blocks and includes within each other
_LARGEST = 16 << 20  # bytes of a file

Token = tuple[str, int, bool]


@define(eq=False)
class Statement(Directive):
    """A directive of nginx.conf.

    Args:
        name: its first word.
        args: the other words, without quotes, with escapes resolved.
        block: what is between its braces; None: it ends with a semicolon.
    """

    name: str = ""
    args: tuple[str, ...] = ()
    block: list[Statement] | None = None

    @property
    def first(self) -> str:
        """Its first argument; "" without one."""
        return self.args[0] if self.args else ""


def parse_files(files: Sequence[str], environ: Mapping[str, str]) -> list[Statement]:
    """The statements of some files, those of included files in the place of their `include`.

    Args:
        files: the main files; an include is found relative to the one that leads to it.
        environ: the values for ``${NAME}``.

    Raises:
        ImportFault: a file can't be read, or nginx would refuse it.
    """
    parser = _Parser(environ)
    statements = []
    for file in files:
        found = parser.file(file, Path(file).parent)
        _check(found, _context(found), 0)
        statements += found
    return statements


def walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    """All statements, those in blocks included."""
    for statement in statements:
        yield statement
        yield from walk(statement.block or ())


@define
class _Parser:
    environ: Mapping[str, str]
    _read: dict[str, list[Statement]] = Factory(dict)
    _under_way: list[str] = field(factory=list)

    def file(self, name: str, base: Path, included: Statement | None = None) -> list[Statement]:
        """The statements of a file, which are the same objects wherever it is included."""
        if name in self._under_way or len(self._read) > _MOST_FILES or len(self._under_way) > _DEEPEST:
            fault = "includes itself" if name in self._under_way else f"more than {_MOST_FILES} files are included"
            raise _at(included, name, f"{fault}; remove that include")
        if name not in self._read:
            self._under_way.append(name)
            self._read[name] = list(self._statements(name, _text(name, included), base))
            self._under_way.pop()
        return self._read[name]

    def _statements(self, name: str, text: str, base: Path) -> Iterator[Statement]:
        marked = _REFERENCE.sub(lambda found: f"{MARK}{found[1]}{END}", text)
        opened: list[Statement] = []
        tokens = crossplane.lex_string(marked, filename=name)
        try:
            yield from self._block(name, iter(tokens), opened, base)
        except NgxParserBaseException as error:
            raise ImportFault(name, error.lineno, _syntax(error.strerror, opened)) from None

    def _block(self, name: str, tokens: Iterator[Token], opened: list[Statement], base: Path) -> Iterator[Statement]:
        for word, line, quoted in tokens:
            if word.startswith("#") and not quoted:
                continue
            if word == "}" and not quoted:
                return
            args, end = self._arguments(name, line, tokens)
            statement = Statement(name, line, _shown(word, args), word, tuple(args))
            if end != "{" and end != ";":
                remedy = 'end it with ";"' if end == "}" else 'it is not ended; add ";"'
                raise ImportFault(name, line, f'directive {word!r} is not terminated by ";": {remedy}')
            if end == "{":
                opened.append(statement)
                if len(opened) > _DEEPEST:
                    raise ImportFault(name, line, f"blocks are nested more than {_DEEPEST} deep")
                statement.block = list(self._block(name, tokens, opened, base))
                opened.pop()
            yield statement
            if word == "include" and statement.block is None:
                yield from self._included(statement, base)

    def _arguments(self, name: str, line: int, tokens: Iterator[Token]) -> tuple[list[str], str]:
        args: list[str] = []
        for token, _, quoted in tokens:
            if not quoted and token in ("{", ";", "}"):
                return args, token
            if not quoted and token.startswith("#"):
                continue
            filled, from_environment = self._filled(name, line, token)
            args += filled.split() if from_environment and not quoted else [filled]
        return args, ""

    def _filled(self, name: str, line: int, token: str) -> tuple[str, bool]:
        """A token with the environment filled in, and whether it took anything from there."""
        taken = False

        def fill(found: re.Match[str]) -> str:
            nonlocal taken
            variable = found[1] or found[2]
            if variable in self.environ:
                taken = True
                return self.environ[variable]
            if found[1] and variable == variable.upper():
                raise ImportFault(name, line, f"${{{variable}}} is not set; add --env {variable}=VALUE")
            return found[0]

        filled = _MARKED.sub(fill, token)
        return _ESCAPED.sub(lambda found: _ESCAPES[found[1]], filled), taken

    def _included(self, statement: Statement, base: Path) -> Iterator[Statement]:
        pattern = str(base / statement.first)
        names = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 - nginx's own rules
        if Path(pattern).name == "mime.types":
            return  # it comes with nginx, and names the types of files, of which splicer serves none
        for name in names:
            yield from self.file(name, base, statement)


def _text(name: str, included: Statement | None) -> str:
    try:
        with Path(name).open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        remedy = "" if included is None else "; bring the file along, or take the include out"
        raise _at(included, name, f"can't read {name}: {error.strerror}{remedy}") from None
    if len(raw) > _LARGEST:
        raise ImportFault(name, None, f"is larger than {_LARGEST >> 20} MiB")
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    if odd := re.search(r"[\x00-\x08\x0e-\x1f]", text):
        line = text.count("\n", 0, odd.start()) + 1
        raise ImportFault(name, line, "has a control character: is it a text file?")
    return text


def _at(included: Statement | None, name: str, text: str) -> ImportFault:
    return ImportFault(name, None, text) if included is None else ImportFault(included.file, included.line, text)


def _syntax(text: str, opened: Sequence[Statement]) -> str:
    if opened and text.endswith('expecting "}"'):
        blocks = ", ".join(f"{block.text!r} of line {block.line}" for block in opened)
        return f'a "}}" is missing: {blocks} {"is" if len(opened) == 1 else "are"} open at the end of the file'
    return {'unexpected "}"': '"}" closes nothing; remove it, or add the "{" that it belongs to'}.get(text, text)


def _shown(name: str, args: Sequence[str]) -> str:
    words = [name, *(f'"{arg}"' if not arg or any(char.isspace() for char in arg) else arg for arg in args)]
    shown = _MARKED.sub(lambda found: f"${{{found[1]}}}" if found[1] else found[0], " ".join(words))
    return shown.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _context(statements: Sequence[Statement]) -> tuple[str, ...]:
    """Where the file stands: a file of conf.d is a part of another one's `http`, or even of its `server`."""
    names = {statement.name for statement in statements}
    if names & {"http", "events"}:
        return ()
    if names & {"server", "upstream"}:
        return ("http",)
    return ("http", "server") if "location" in names else ()


def _check(statements: Sequence[Statement], context: tuple[str, ...], depth: int) -> None:
    """Have crossplane check where directives stand, and the number of their arguments."""
    for statement in statements:
        words = {"directive": statement.name, "line": statement.line, "args": list(statement.args)}
        term = ";" if statement.block is None else "{"
        try:
            analyze(statement.file, words, term, context)
        except NgxParserBaseException as error:
            raise ImportFault(statement.file, statement.line, f"{error.strerror}; nginx -t would refuse it") from None
        if statement.block is not None and depth < _DEEPEST:
            _check(statement.block, enter_block_ctx(words, context), depth + 1)
