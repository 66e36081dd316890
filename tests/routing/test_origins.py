from __future__ import annotations

import pytest

from splicer.model import RequestHead
from splicer.routing.origins import foreign_origin

ALLOWED = ("https://app.example", "https://*.pages.example", "http://localhost:3000", "https://*.a.example:8443")


def head(*origins: bytes) -> RequestHead:
    return RequestHead("GET", "/", "/", None, "a", "1.1", tuple((b"ORIGIN", origin) for origin in origins))


@pytest.mark.parametrize(
    "origins",
    [
        (),
        (b"https://app.example",),
        (b"HTTPS://App.Example",),
        (b"https://x.pages.example",),
        (b"https://x-1.y.pages.example",),
        (b"http://localhost:3000",),
        (b"https://x.a.example:8443",),
        (b"https://app.example", b"https://x.pages.example"),
    ],
)
def test_what_is_allowed(origins: tuple[bytes, ...]) -> None:
    assert foreign_origin(head(*origins), ALLOWED) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://app.example",
        "https://app.example:444",
        "https://app.example/",
        "https://app.example.evil",
        "https://evil-app.example",
        "https://pages.example",
        "https://.pages.example",
        "https://evil/.pages.example",
        "https://evil@.pages.example",
        "https://x..pages.example",
        "https://xpages.example",
        "http://localhost",
        "https://x.a.example",
        "https://app.example, https://evil",
        "\xe9",
    ],
)
def test_what_is_foreign(origin: str) -> None:
    assert foreign_origin(head(origin.encode("latin-1")), ALLOWED) == origin


def test_one_foreign_origin_among_several_is_enough() -> None:
    assert foreign_origin(head(b"https://app.example", b"https://evil"), ALLOWED) == "https://evil"
