from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splicer.errors import BadCapture
from splicer.routing.template import check_label, parse_template, render_host


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("/api", "/api"),
        ("{rest}", "/x%20y"),
        ("/a{rest}?p={pod}", "/a/x%20y?p=voice-agent-3"),
        ("{{{pod}}}", "{voice-agent-3}"),
        ("{{pod}}", "{pod}"),
    ],
)
def test_render(text: str, rendered: str) -> None:
    template = parse_template(text)
    assert template.text == text
    assert template.render({"pod": "voice-agent-3", "rest": "/x%20y"}) == rendered


def test_a_percent_sign_is_text() -> None:
    template = parse_template("100%/%(pod)s/{pod}%s")
    assert template.render({"pod": "%d"}) == "100%/%(pod)s/%d%s"
    assert parse_template("100%").render({}) == "100%"


def test_captures() -> None:
    assert parse_template("/{a}/{b}{a}/{{c}}").captures == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{pod", "not closed"),
        ("pod}", "closes nothing"),
        ("{a{b}", "not closed"),
        ("{}", "no capture's name"),
        ("{1a}", "no capture's name"),
        ("{a b}", "no capture's name"),
        ("{a:>3}", "no capture's name"),
    ],
)
def test_a_bad_template_is_told_in_words(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_template(text)


@given(st.text("{}ab", max_size=8))
def test_any_text_can_be_written_with_its_braces_doubled(text: str) -> None:
    template = parse_template(text.replace("{", "{{").replace("}", "}}"))
    assert template.captures == frozenset()
    assert template.render({}) == text


@pytest.mark.parametrize("value", ["a", "0", "voice-agent-3", "a" * 63, "a--b"])
def test_a_label(value: str) -> None:
    assert check_label(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "a\n",
        "\na",
        "a" * 64,
        "a:80",
        "a%2e",
        "%61",
        "é",
        "a/b",
        "10.96.0.10:8000%3f",
    ],
)
def test_no_label(value: str) -> None:
    assert not check_label(value)


SUFFIX = ".voice-agent.svc.cluster.local"


@given(st.text() | st.text("ab-.:/%3f@\n", max_size=8) | st.from_regex(r"[a-z0-9-]{1,70}"))
def test_a_capture_never_leaves_its_dns_label(pod: str) -> None:
    template = parse_template(f"{{pod}}{SUFFIX}")
    try:
        host = render_host(template, {"pod": pod})
    except BadCapture:
        assert not check_label(pod)
    else:
        label, dot, suffix = host.partition(".")
        assert dot + suffix == SUFFIX
        assert label == pod
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 1 <= len(label) <= 63


def test_a_label_made_of_several_captures_must_not_get_too_long() -> None:
    template = parse_template("{a}-{b}.local")
    assert render_host(template, {"a": "x" * 30, "b": "y" * 30})
    with pytest.raises(BadCapture, match="too long"):
        render_host(template, {"a": "x" * 32, "b": "y" * 32})


def test_a_name_must_not_get_too_long() -> None:
    template = parse_template("{a}" + f".{'x' * 60}" * 4)
    assert len(render_host(template, {"a": "a" * 9})) == 253
    with pytest.raises(BadCapture, match="too long"):
        render_host(template, {"a": "a" * 10})


def test_only_the_captures_that_the_host_uses_are_judged() -> None:
    assert render_host(parse_template("{pod}.local"), {"pod": "a", "rest": "/../x"}) == "a.local"


@pytest.mark.parametrize("host", ["smart_router.local", "::1", "10.0.0.1", "Example.com."])
def test_a_fixed_host_is_taken_as_it_is(host: str) -> None:
    assert render_host(parse_template(host), {"pod": "-"}) == host


_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)


@given(values=st.fixed_dictionaries({"a": _LABELS, "b": _LABELS, "c": _LABELS}))
@pytest.mark.parametrize(
    "text", ["{a}.x.test", "pod-{a}-x.{b}.test", "{a}{b}.{c}.test", "{a}.{a}.{b}-{c}.test.", "x.test"]
)
def test_captured_is_what_was_rendered(text: str, values: dict[str, str]) -> None:
    template = parse_template(text)
    found = template.captured(render_host(template, values))
    assert found == {name: values[name] for name in template.clear}


@pytest.mark.parametrize("host", ["x.other.test", "a.b.x.test", ".x.test", "a.x.test.evil", "A.x.test"])
def test_captured_of_another_host(host: str) -> None:
    assert parse_template("{a}.x.test").captured(host) == {}
