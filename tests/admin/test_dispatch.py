from __future__ import annotations

import pytest

from splicer.admin.dispatch import Page, Request, Table, allowed, find
from splicer.errors import BadRequest, MethodNotAllowed, NotFound
from splicer.model import Respond


async def _nothing(_: Request) -> Respond:
    return Respond(200)


SHOW, END, BEGIN = Page(_nothing), Page(_nothing, frozenset({"x"})), Page(_nothing, body=frozenset())
TABLE: Table = {"/things": {"GET": SHOW}, "/things/{id}": {"DELETE": END}, "/job": {"GET": SHOW, "POST": BEGIN}}


@pytest.mark.parametrize(
    ("method", "path", "page"),
    [
        ("GET", "/things", SHOW),
        ("HEAD", "/things", SHOW),
        ("DELETE", "/things/7", END),
        ("POST", "/job", BEGIN),
    ],
)
def test_a_path_and_a_method_have_a_page(method: str, path: str, page: Page) -> None:
    assert find(TABLE, method, path)[0] is page


@pytest.mark.parametrize(("last", "part"), [("7", "7"), ("a%20b%2Fc", "a b/c"), ("{id}", "{id}")])
def test_the_last_segment_is_decoded(last: str, part: str) -> None:
    assert find(TABLE, "DELETE", f"/things/{last}")[1] == part


@pytest.mark.parametrize("path", ["/", "/thing", "/things/", "/things/7/", "/things/7/8", "/job/7", "/{id}", ""])
def test_any_other_path_is_not_found(path: str) -> None:
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            find(TABLE, method, path)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/things", ("GET", "HEAD")),
        ("/things/7", ("DELETE",)),
        ("/job", ("GET", "HEAD", "POST")),
        ("*", ("GET", "HEAD", "DELETE", "POST")),
    ],
)
def test_what_is_allowed(path: str, methods: tuple[str, ...]) -> None:
    assert allowed(TABLE, path) == methods
    if path != "*":
        with pytest.raises(MethodNotAllowed):
            find(TABLE, "PUT", path)


def test_a_parameter_that_may_be_there_once() -> None:
    asked = Request({"pod": ["a"], "route": ["b", "c"]})
    assert (asked.one("pod"), asked.one("nothing")) == ("a", None)
    with pytest.raises(BadRequest, match="route is there 2 times"):
        asked.one("route")
