"""Which changes of a file are seen, and what is told of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from splicer.comparison.compare import Comparison, as_json, as_lines, compare
from splicer.comparison.outcome import Answers
from splicer.comparison.questions import questions
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.explain import explain
from tests.config.configurations import configs
from tests.kit.laws import examples

BASE = """
[upstreams.pod]
address = "{pod}.agents.x:8000"
[upstreams.any]
address = "agents.x:8000"
[upstreams.api]
address = "api.x:80"
[[routes]]
name = "health"
path = "/health"
respond = { status = 200, body = "ok" }
[[routes]]
name = "calls"
regex = '^/ws/(?<pod>[^/]+)(?<rest>/.*)$'
hosts = ["a.example"]
upstream = "pod"
rewrite = "{rest}"
upgrade = ["websocket"]
fallback = "any"
[[routes]]
name = "api"
prefix = "/api/"
headers = { X-Tier = "gold" }
upstream = "api"
[[routes]]
name = "rest"
prefix = "/"
redirect = { to = "https://b.example{target}" }
"""


def compared(*changes: tuple[str, str]) -> Comparison:
    text = BASE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return compare(load(BASE, environ={}), load(text, environ={}))


def test_the_same_file_has_no_difference() -> None:
    assert compared() == Comparison()
    assert as_lines(compared()) == ["no difference"]


@pytest.mark.parametrize(
    ("before", "after", "route", "keys"),
    [
        ('"{pod}.agents.x:8000"', '"{pod}.other.x:8000"', "calls", {"upstream"}),
        ('rewrite = "{rest}"', 'rewrite = "/v2{rest}"', "calls", {"path"}),
        ('fallback = "any"', 'fallback = "api"', "calls", {"fallback"}),
        ('hosts = ["a.example"]', 'hosts = ["b.example"]', "calls", {"answer", "upstream", "path", "fallback"}),
        ("^/ws/(?", "^/calls/(?", "calls", {"answer", "upstream", "path", "fallback"}),
        ('"/health"', '"/healthz"', "health", {"answer"}),
        ('"ok"', '"fine"', "health", {"answer"}),
        ('X-Tier = "gold"', 'X-Tier = "silver"', "api", {"answer", "upstream", "path"}),
        ('upstream = "api"', "upstream = { api = 9, any = 1 }", "api", {"upstream"}),
        ("b.example{target}", "c.example{target}", "rest", {"answer"}),
        ('upgrade = ["websocket"]', 'upgrade = ["websocket"]\nmax_tunnels = 5', "calls", {"max_tunnels"}),
        ('upstream = "api"', 'upstream = "api"\ndeadlines = { handshake = "1s" }', "api", {"deadlines.handshake"}),
    ],
)
def test_a_change_is_seen(before: str, after: str, route: str, keys: set[str]) -> None:
    comparison = compared((before, after))
    assert any(route in change.routes and keys == set(change.keys) for change in comparison.changes)
    assert {name for change in comparison.changes for name in change.routes} >= {route}


def test_what_it_tells() -> None:
    comparison = compared(('"{pod}.agents.x:8000"', '"{pod}.other.x:8000"'))
    lines = as_lines(comparison)
    assert lines[0].endswith("requests go elsewhere")
    assert "GET /ws/a/a -H 'Host: a.example'   and" in lines[2]
    assert lines[3:5] == ['  route "calls"', "  upstream   a.agents.x:8000 → a.other.x:8000"]
    assert lines[-1] == "  upstreams.pod.address {pod}.agents.x:8000 → {pod}.other.x:8000"
    told = as_json(comparison)
    assert told["requests"][0]["changes"]["upstream"] == ["a.agents.x:8000", "a.other.x:8000"]
    assert told["requests"][0]["routes"] == ["calls", "calls"]


def test_a_new_name_or_another_order_without_effect_is_no_difference() -> None:
    assert compared(('name = "calls"', 'name = "ws"')).changes == []
    first, *others = BASE.split("[[routes]]")[1:]
    head = BASE.split("[[routes]]", maxsplit=1)[0]
    moved = "[[routes]]".join([head, *others[:1], first, *others[1:]])
    assert compare(load(BASE, environ={}), load(moved, environ={})).changes == []


def test_a_change_of_a_setting_alone_is_told() -> None:
    comparison = compared(("[upstreams.pod]", "[limits]\nbody_bytes = 5\n[upstreams.pod]"))
    assert as_lines(comparison) == ["settings", "  limits.body_bytes 10MiB → 5"]


@settings(max_examples=examples(5))
@given(configs())
def test_a_request_that_a_route_serves_is_explained_the_same_way(config: Config) -> None:
    answers = Answers(config)
    for question in questions(config)[:20]:
        name, outcome = answers.ask(question)
        fields = [f"Host: {question.host}", *(f"{key.decode()}: {value.decode()}" for key, value in question.headers)]
        if question.scheme != "http" or any(not field.isascii() or not field.isprintable() for field in fields):
            continue
        explained = explain(config, question.method, question.target, fields)
        if name and explained.found:
            assert any(line.startswith("route ") and f" {name} (" in line for line in explained.lines)
        if not name:
            assert not explained.found or outcome["answer"][0] == "4"


@pytest.mark.slow
def test_a_thousand_routes_cost_a_few_requests_each() -> None:
    text = BASE.split("[[routes]]", maxsplit=1)[0]
    route = "[[routes]]\nname = 'r{n}'\nregex = '^/s{n}/(?<pod>[^/]+)(?<rest>/.*)$'\nupstream = 'pod'\n"
    text += "".join(route.replace("{n}", str(number)) for number in range(1000))
    changed = text.replace("'r500'\nregex = '^/s500/", "'r500'\nregex = '^/t500/")
    comparison = compare(load(text, environ={}), load(changed, environ={}))
    assert {change.routes for change in comparison.changes} == {("r500", ""), ("", "r500")}
    assert comparison.asked <= 20 * 1000
