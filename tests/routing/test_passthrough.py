from __future__ import annotations

import pytest

from splicer.model import Deadlines, Upstream
from splicer.routing.passthrough import NO_PASSTHROUGH, Passthrough, PassthroughTable
from splicer.routing.template import parse_template


def _to(name: str, *names: str) -> Passthrough:
    return Passthrough(names, Upstream(name, parse_template(f"{name}.test"), 443), Deadlines())


_TABLE = PassthroughTable([_to("exact", "grpc.example.com", "a.rtc.example.com"), _to("any", "*.rtc.example.com")])


@pytest.mark.parametrize(
    ("name", "upstream", "as_written", "captures"),
    [
        ("grpc.example.com", "exact", "grpc.example.com", {}),
        ("a.rtc.example.com", "exact", "a.rtc.example.com", {}),
        ("b.rtc.example.com", "any", "*.rtc.example.com", {"label": "b"}),
    ],
)
def test_names(name: str, upstream: str, as_written: str, captures: dict[str, str]) -> None:
    found = _TABLE.match(name)
    assert found is not None
    assert (found.to.upstream.name, found.name, found.captures) == (upstream, as_written, captures)


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "rtc.example.com",
        "a.b.rtc.example.com",
        "x.grpc.example.com",
        "*.rtc.example.com",
        "",
        "a_b.rtc.example.com",
        "-.rtc.example.com",
        ".rtc.example.com",
        f"{'x' * 64}.rtc.example.com",
        "com",
    ],
)
def test_names_of_nobody(name: str) -> None:
    assert _TABLE.match(name) is None
    assert NO_PASSTHROUGH.match(name) is None
