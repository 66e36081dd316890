"""Writes what docs/ has from the code: the tables of keys in configuration.md, and routing.schema.json.

python docs/generate.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from splicer.config import rate_limit
from splicer.config.authorize import AUTHORIZER
from splicer.config.error_pages import ERROR_PAGE
from splicer.config.health_check import HEALTH_TABLE
from splicer.config.hooks import HOOK
from splicer.config.json_schema import json_schema
from splicer.config.keys import Key
from splicer.config.listener import LISTENER
from splicer.config.outlier_detection import OUTLIER_TABLE
from splicer.config.passthrough import PASSTHROUGH
from splicer.config.reader import Reader
from splicer.config.redirect import REDIRECT_TABLE
from splicer.config.respond import ANSWER
from splicer.config.routes import ROUTE
from splicer.config.sections import SECTIONS
from splicer.config.tls import TLS
from splicer.config.tracing import TRACING
from splicer.config.upstream_tls import POD_TLS_TABLE
from splicer.config.upstreams import UPSTREAM

DOCS = Path(__file__).parent
TABLES: Mapping[str, Reader[Any]] = {
    **SECTIONS,
    "listener": LISTENER,
    "tls": TLS,
    "upstream_tls": POD_TLS_TABLE,
    "upstreams": UPSTREAM,
    "outlier_detection": OUTLIER_TABLE,
    "health_check": HEALTH_TABLE,
    "routes": ROUTE,
    "respond": ANSWER,
    "rate_limit": rate_limit.TABLE,
    "authorize": AUTHORIZER,
    "redirect": REDIRECT_TABLE,
    "errors": ERROR_PAGE,
    "passthrough": PASSTHROUGH,
    "tracing": TRACING,
    "hooks": HOOK,
}
_GENERATED = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def schema() -> str:
    """The text of routing.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def with_tables(text: str) -> str:
    """A page with a table of all keys between each pair of its marks."""
    return _GENERATED.sub(lambda marks: marks[1] + _table(TABLES[marks[2]]) + marks[3], text)


def _table(reader: Reader[Any]) -> str:
    defaults = reader.defaults()
    rows = [_row(name, key, defaults.get(name)) for name, key in reader.keys.items()]
    return "\n".join(("| key | value | default | |", "|---|---|---|---|", *rows, ""))


def _row(name: str, key: Key, default: Any) -> str:
    mark = " †" if key.fixed else ""
    empty = default in (None, [], {})
    usual = "required" if key.required else key.absent if empty else f"`{json.dumps(default, ensure_ascii=False)}`"
    return f"| `{name}`{mark} | {key.kind.words} | {usual} | {key.doc} |"


def main(arguments: Sequence[str]) -> None:
    """Write the files; with --check, name those that are not current, and exit 1."""
    page = DOCS / "configuration.md"
    wanted = {DOCS / "routing.schema.json": schema(), page: with_tables(page.read_text(encoding="utf-8"))}
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    if "--check" not in arguments:
        for file in stale:
            file.write_text(wanted[file], encoding="utf-8")
    elif stale:
        sys.exit("\n".join(f"{file.name} is not current; say make docs" for file in stale))


if __name__ == "__main__":
    main(sys.argv[1:])
