"""The dashboard's files: a page, a module and a style sheet, without a build."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from splicer.admin.dispatch import Request
from splicer.errors import NotFound
from splicer.model import Headers, Respond

_TYPES = {
    "app.js": "text/javascript; charset=utf-8",
    "draw.js": "text/javascript; charset=utf-8",
    "table.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}
# The page runs its own code alone, and speaks with its own address alone (CSP Level 3): what a client has put into a
# path or a host can't become code, even if it were written into the page as HTML.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_SAFE: Headers = (
    (b"Content-Security-Policy", _POLICY.encode()),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
)


def page(asked: Request, *, shown: bool) -> Respond:
    """The page, for who accepts HTML.

    Raises:
        NotFound: it is off, or the client accepts no HTML.
    """
    if not shown or "text/html" not in asked.accept.lower():
        raise NotFound("there is no / here; the dashboard is for browsers (server.dashboard)")
    return _answer("index.html", "text/html; charset=utf-8", asked, (b"Cache-Control", b"no-store"))


async def asset(asked: Request) -> Respond:
    """One of the page's files.

    Raises:
        NotFound: it has no such file.
    """
    if asked.part not in _TYPES:
        raise NotFound(f"there is no /ui/{asked.part[:100]}")
    return _answer(asked.part, _TYPES[asked.part], asked, (b"Cache-Control", b"no-cache"))


def _answer(name: str, content_type: str, asked: Request, caching: tuple[bytes, bytes]) -> Respond:
    data, tag = _file(name)
    fields = (*_SAFE, caching, (b"ETag", tag.encode()))
    return Respond(304, b"", content_type, fields) if tag in asked.known else Respond(200, data, content_type, fields)


@cache
def _file(name: str) -> tuple[bytes, str]:
    data = (resources.files(str(__package__)) / "ui" / name).read_bytes()
    return data, f'"{hashlib.sha256(data).hexdigest()[:16]}"'
