"""`[tracing]`: what is read, and what each fault says."""

from __future__ import annotations

import pytest

from splicer.config.diff import diff
from splicer.config.dump import as_tables
from splicer.config.load import load
from splicer.config.schema import Config
from splicer.config.tracing import Collector, TracingSettings, without_secrets
from splicer.errors import ConfigError

ROUTE = '[[routes]]\nname = "a"\nprefix = "/"\nrespond = { status = 200 }\n'
ENDPOINT = 'endpoint = "http://c.test:4318/v1/traces"\n'


def loaded(text: str, **environ: str) -> Config:
    return load(f"[tracing]\n{text}\n{ROUTE}", environ=environ)


def read(text: str, **environ: str) -> TracingSettings:
    tracing = loaded(text, **environ).tracing
    assert tracing is not None
    return tracing


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loaded(text)
    return [fault.removeprefix("routing.toml: tracing") for fault in refused.value.faults]


def test_without_the_section_nothing_is_traced() -> None:
    assert load(ROUTE, environ={}).tracing is None
    assert "tracing" not in as_tables(load(ROUTE, environ={}))


def test_the_defaults() -> None:
    assert read("") == TracingSettings(
        endpoint=None,
        sample=0.05,
        trust="proxies",
        propagate=("w3c",),
        tunnel="link",
        service="splicer",
        attributes=(),
        headers=(),
        compression="none",
    )
    assert as_tables(loaded(""))["tracing"] == {"sample": 0.05, "trust": "proxies", "propagate": ["w3c"]}
    assert as_tables(loaded(ENDPOINT))["tracing"] == {
        "endpoint": "http://c.test:4318/v1/traces",
        "sample": 0.05,
        "trust": "proxies",
        "propagate": ["w3c"],
        "tunnel": "link",
        "service": "splicer",
        "attributes": {},
        "headers": {},
        "compression": "none",
    }


def test_every_key() -> None:
    text = """
        endpoint = "https://c.test/v1/traces?a=b"
        sample = 1
        trust = "anyone"
        propagate = ["w3c", "b3", "b3-multi"]
        tunnel = "child"
        service = "edge"
        attributes = { "deployment.environment.name" = "prod", zone = "${ZONE}" }
        headers = { x-api-key = "${OTLP_KEY:-}" }
        compression = "gzip"
    """
    assert read(text, ZONE="a", OTLP_KEY="secret") == TracingSettings(
        endpoint=Collector("https://c.test/v1/traces?a=b", True, "c.test", 443, "/v1/traces?a=b"),
        sample=1.0,
        trust="anyone",
        propagate=("w3c", "b3", "b3-multi"),
        tunnel="child",
        service="edge",
        attributes=(("deployment.environment.name", "prod"), ("zone", "a")),
        headers=(("x-api-key", "secret"),),
        compression="gzip",
    )
    assert read(text, ZONE="a").headers == (("x-api-key", ""),)


def test_the_environment_gives_numbers() -> None:
    assert read('sample = "${SHARE}"', SHARE="0.25").sample == 0.25
    assert read('sample = "${SHARE:-.5}"').sample == 0.5


@pytest.mark.parametrize(
    ("url", "collector"),
    [
        ("http://c/v1/traces", Collector("http://c/v1/traces", False, "c", 80, "/v1/traces")),
        ("HTTP://C:1/x", Collector("HTTP://C:1/x", False, "c", 1, "/x")),
        ("https://[::1]:4318/x", Collector("https://[::1]:4318/x", True, "::1", 4318, "/x")),
    ],
)
def test_endpoints(url: str, collector: Collector) -> None:
    assert read(f'endpoint = "{url}"').endpoint == collector


NO_URL = 'is no http or https URL; write for example "http://collector:4318/v1/traces"'
ALONE = "does nothing without endpoint: no spans are sent then; write one, or leave this out"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('endpoint = "c.test:4318/v1/traces"', [f'.endpoint: "c.test:4318/v1/traces" {NO_URL}']),
        ('endpoint = "grpc://c.test:4317/x"', [f'.endpoint: "grpc://c.test:4317/x" {NO_URL}']),
        ('endpoint = "http://:1/x"', [f'.endpoint: "http://:1/x" {NO_URL}']),
        ('endpoint = "http://a:0/x"', [f'.endpoint: "http://a:0/x" {NO_URL}']),
        (
            'endpoint = "http://a:x/y"',
            [".endpoint: \"http://a:x/y\" is no URL: Port could not be cast to integer value as 'x'"],
        ),
        ('endpoint = "http://a b/x"', ['.endpoint: " " is in no URL']),
        (
            'endpoint = "http://a:4318"',
            ['.endpoint: has no path, and none is guessed; most collectors take "http://a:4318/v1/traces"'],
        ),
        (
            'endpoint = "http://me:pass@a/x"',
            [".endpoint: may have neither a user nor a fragment; credentials are a header, in tracing.headers"],
        ),
        ("sample = 1.5", [".sample: must be a number from 0 to 1, not 1.5; 0.05 is one request of twenty"]),
        ("sample = -1", [".sample: must be a number from 0 to 1, not -1; 0.05 is one request of twenty"]),
        ("sample = true", [".sample: must be a number from 0 to 1, not true"]),
        ('sample = "0.5"', ['.sample: must be a number from 0 to 1, not "0.5"']),
        ("sample = nan", [".sample: must be a number from 0 to 1, not a number beyond 64 bits"]),
        (
            'trust = "proxy"',
            ['.trust: must be one of "proxies", "anyone", "nobody", not "proxy"; did you mean "proxies"?'],
        ),
        ("propagate = []", [".propagate: must not be empty: pods would get no trace"]),
        ('tunnel = "child"', [f".tunnel: {ALONE}"]),
        (
            'service = "a"\nattributes = {}\nheaders = {}\ncompression = "none"',
            [f".{key}: {ALONE}" for key in ("service", "attributes", "headers", "compression")],
        ),
        (f'{ENDPOINT}service = " "', [".service: is one line of printable characters, and not empty"]),
        (
            f"{ENDPOINT}attributes = {{ 'service.name' = \"a\", 'host.name' = \"b\" }}",
            [
                '.attributes."service.name": is the edge\'s own; write service = ...',
                '.attributes."host.name": is the edge\'s own',
            ],
        ),
        (f"{ENDPOINT}attributes = {{ a = 1 }}", [".attributes.a: must be a string, not 1"]),
        (f'{ENDPOINT}headers = {{ Host = "a" }}', [".headers.Host: can't be set: the edge writes it"]),
        (f"{ENDPOINT}headers = {{ 'a b' = \"a\" }}", ['.headers."a b": is no header name (RFC 9110 §5.1)']),
        (
            f'{ENDPOINT}headers = {{ a = "é" }}',
            ['.headers.a: "é" is in no header value: it is ASCII without control characters'],
        ),
        (f'{ENDPOINT}headers = {{ a = " b" }}', [".headers.a: a header value has no outer spaces"]),
        ("sampel = 1", ['.sampel: unknown key; did you mean "sample"?']),
    ],
)
def test_faults(text: str, expected: list[str]) -> None:
    assert faults(text) == expected


def test_a_section_that_is_no_table() -> None:
    with pytest.raises(ConfigError) as refused:
        load(f"tracing = true\n{ROUTE}", environ={})
    assert refused.value.faults == ("routing.toml: tracing: must be a table, not true",)


def test_a_broken_endpoint_makes_no_other_key_useless() -> None:
    assert [fault.partition(":")[0] for fault in faults('endpoint = "x"\nservice = "a"')] == [".endpoint"]


def test_changes() -> None:
    before, after = load(ROUTE, environ={}), loaded(f'{ENDPOINT}headers = {{ a = "old" }}')
    assert diff(before, after) == ("tracing: added",)
    assert diff(after, before) == ("tracing: removed",)
    changed = loaded(f'{ENDPOINT}headers = {{ a = "secret" }}\nsample = 0.5')
    assert diff(after, changed) == ("tracing.sample 0.05 → 0.5", "tracing.headers changed")
    assert diff(after, after) == ()


def test_secrets_are_not_shown() -> None:
    tables = as_tables(loaded(f'{ENDPOINT}headers = {{ a = "secret" }}'))
    assert without_secrets(tables)["tracing"]["headers"] == {"a": "***"}
    assert tables["tracing"]["headers"] == {"a": "secret"}
    plain = as_tables(load(ROUTE, environ={}))
    assert without_secrets(plain) == plain
