"""``[hooks.NAME]`` and a route's `hooks`: what they may have, and what is a fault."""

from __future__ import annotations

import pytest

from splicer.config.load import load
from splicer.errors import ConfigError
from splicer.hook_settings import HookSettings

_ROUTE = """
[upstreams.any]
address = "any.svc:8000"
[upstreams.pod]
address = "{pod}.svc:8000"
[[routes]]
name = "r"
"""


def faults(hooks: str, route: str = 'prefix = "/"\nupstream = "any"') -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(f"{_ROUTE}{route}\n{hooks}", environ={"TOKEN": "s3cret"})
    return [fault.removeprefix("routing.toml: ") for fault in refused.value.faults]


def test_the_least() -> None:
    config = load(f'{_ROUTE}prefix = "/"\nupstream = "any"\nhooks = ["a"]\n[hooks.a]\nuse = "m:C"\n', environ={})
    assert config.hooks == {"a": HookSettings("a", "m:C")}
    assert config.routes[0].hooks == (config.hooks["a"],)
    settings = config.hooks["a"]
    assert (settings.path, settings.options, settings.captures) == (None, (), ())
    assert (settings.deadline, settings.on_failure) == (0.2, "refuse")
    assert (settings.module, settings.attribute) == ("m", "C")


def test_every_key() -> None:
    text = """
        [hooks."b 1"]
        use = "a.b:C_1"
        path = "/etc/hooks"
        options = { token = "${TOKEN}", limit = 3, share = 0.5, strict = true, names = ["x", "${TOKEN}"] }
        captures = ["pod"]
        deadline = "1s"
        on_failure = "refuse"
    """
    route = 'prefix = "/"\nupstream = "pod"\nhooks = ["b 1"]\nrewrite = "/{pod}"'
    config = load(f"{_ROUTE}{route}\n{text}", environ={"TOKEN": "s3cret"})
    assert config.hooks["b 1"] == HookSettings(
        "b 1",
        "a.b:C_1",
        "/etc/hooks",
        (("token", "s3cret"), ("limit", 3), ("share", 0.5), ("strict", True), ("names", ("x", "s3cret"))),
        ("pod",),
        1.0,
        "refuse",
    )
    assert config.routes[0].later_captures == {"pod"}


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ("hooks = 3", ["hooks: must be tables such as [hooks.signature], not 3"]),
        ("[hooks.a]", ["hooks.a.use: is missing"]),
        ('[hooks.a]\nuse = "m"', [
            'hooks.a.use: "m" is no module and class; write for example "voice_hooks:TwilioSignature"']),
        ('[hooks.a]\nuse = "m:C.d"', [
            'hooks.a.use: "m:C.d" is no module and class; write for example "voice_hooks:TwilioSignature"']),
        ('[hooks.a]\nuse = "m:C"\npath = "hooks"', [
            'hooks.a.path: "hooks" is no absolute path; a relative one would depend on where splicer is started']),
        ('[hooks.a]\nuse = "m:C"\noptions = { "a-b" = 1 }', [
            "hooks.a.options.a-b: an option is a keyword argument: letters, digits and _, no digit first"]),
        ('[hooks.a]\nuse = "m:C"\noptions = { a = { b = 1 } }', [
            "hooks.a.options.a: must be a string, a number, true, false or a list of strings, not a table"]),
        ('[hooks.a]\nuse = "m:C"\noptions = { a = nan }', [
            "hooks.a.options.a: must be a string, a number, true, false or a list of strings, not a number beyond "
            "64 bits"]),
        ('[hooks.a]\nuse = "m:C"\noptions = { a = "${MISSING}" }', [
            "hooks.a.options.a: the environment variable MISSING is not set; set it or write a default: "
            "${MISSING:-...}"]),
        ('[hooks.a]\nuse = "m:C"\ncaptures = ["a-b"]', ['hooks.a.captures: "a-b" is no capture\'s name']),
        ('[hooks.a]\nuse = "m:C"\ndeadline = "11s"', ["hooks.a.deadline: must be more than 0 and at most 10s"]),
        ('[hooks.a]\nuse = "m:C"\ndeadline = "never"', ["hooks.a.deadline: must be more than 0 and at most 10s"]),
        ('[hooks.a]\nuse = "m:C"\non_failure = "allow"', [
            'hooks.a.on_failure: must be one of "refuse", "continue", not "allow"']),
        ('[hooks.a]\nuse = "m:C"\ncaptures = ["pod"]\non_failure = "continue"', [
            'hooks.a.on_failure: can\'t be "continue" beside captures, which nothing would give; write "refuse"']),
        ('[hooks.a]\nuse = "m:C"\nisolation = 1', ['hooks.a.isolation: unknown key; did you mean "options"?']),
        ('[hooks." "]\nuse = "m:C"', [
            'hooks." ": a name is one line of printable characters, and not empty']),
    ],
)  # fmt: skip
def test_faults_of_a_hook(hooks: str, expected: list[str]) -> None:
    before = f"{hooks}\n" if hooks.startswith("hooks") else ""
    if before:
        with pytest.raises(ConfigError) as refused:
            load(f'{before}{_ROUTE}prefix = "/"\nupstream = "any"\n', environ={})
        assert [fault.removeprefix("routing.toml: ") for fault in refused.value.faults] == expected
    else:
        assert faults(hooks) == expected


_A = '[hooks.a]\nuse = "m:C"\ncaptures = ["pod"]'


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ('prefix = "/"\nupstream = "any"\nhooks = ["b"]', ['hooks: unknown hook "b"; write a table [hooks.b]']),
        ('prefix = "/"\nupstream = "any"\nhooks = ["aa", "aa"]', ['hooks: unknown hook "aa"; did you mean "a"?']),
        ('prefix = "/"\nupstream = "any"\nhooks = []', ["hooks: must not be empty: leave the key out for no hook"]),
        ('prefix = "/"\nrespond = "status"\nhooks = ["a"]', ["hooks: goes only with upstream"]),
        ('prefix = "/"\nupstream = "pod"', [
            "upstream: unknown capture {pod} in {pod}.svc; a prefix has no captures, a regex has"]),
        ('prefix = "/"\nupstream = "any"\nhooks = ["a"]\nrewrite = "/{who}"', [
            "rewrite: unknown capture {who}; the prefix and hooks give {pod}"]),
        ('prefix = "/"\nupstream = "any"\nhooks = ["a"]\nhost = "{pos}"', [
            "host: unknown name {pos}; did you mean {pod}?"]),
    ],
)  # fmt: skip
def test_faults_of_a_route(route: str, expected: list[str]) -> None:
    assert [fault.removeprefix('routes 1 "r": ') for fault in faults(_A, route)] == expected


def test_a_hook_with_a_fault_may_give_any_capture() -> None:
    assert faults('[hooks.a]\nuse = "m"\n', 'prefix = "/"\nupstream = "pod"\nhooks = ["a"]') == [
        'hooks.a.use: "m" is no module and class; write for example "voice_hooks:TwilioSignature"'
    ]
