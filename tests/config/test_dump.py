"""The law: the tables, written as TOML, load as the same configuration; the JSON schema takes them too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings

from splicer.config.dump import as_tables
from splicer.config.json_schema import json_schema
from splicer.config.load import load
from splicer.config.schema import Config
from tests.config.configurations import configs
from tests.kit.laws import examples

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft7Validator(json_schema())


def written(value: Any) -> str:
    """A value as TOML writes it inline."""
    match value:
        case dict():
            return f"{{{', '.join(f'{written(key)} = {written(item)}' for key, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(written, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def loaded(tables: dict[str, Any]) -> Config:
    return load("\n".join(f"{key} = {written(table)}" for key, table in tables.items()), environ={})


def check(config: Config) -> None:
    tables = as_tables(config)
    assert loaded(tables) == config
    assert json.loads(json.dumps(tables)) == tables
    VALIDATOR.validate(tables)


@settings(max_examples=examples(150), deadline=None)
@given(configs())
def test_any_configuration_survives(config: Config) -> None:
    check(config)


@pytest.mark.parametrize("path", ["routing.toml", "splicer/demo/routing.toml"])
def test_the_real_files_survive(path: str) -> None:
    check(load((ROOT / path).read_text(encoding="utf-8"), environ={}))


def test_every_default_is_filled_in_and_nothing_else() -> None:
    text = """
        upstreams.pod.address = "{pod}.pods.test:80"
        [[routes]]
        name = "call"
        regex = '^/(?<pod>.+)$'
        upstream = "pod"
        [[routes]]
        name = "ready"
        path = "/ready"
        clients = ["10.0.0.0/8"]
        respond = { status = 200, draining = { status = 503, headers = { X-A = "b" } }, unprotected = { status = 204 } }
        [[routes]]
        name = "status"
        prefix = "/"
        respond = "status"
    """
    inherited = {
        "resolve": "2s",
        "connect": "3s",
        "handshake": "10s",
        "authorize": "2s",
        "attempts": "15s",
        "response": "never",
        "response_idle": "1m",
        "body_idle": "1m",
        "idle": "1h",
        "half_closed": "30s",
        "lifetime": "never",
        "keepalive": "1m15s",
    }
    plain = {"body": "", "content_type": "text/plain; charset=utf-8"}
    assert as_tables(load(text, environ={})) == {
        "server": {
            "listen": ["0.0.0.0:8080"],
            "workers": 1,
            "admin": "127.0.0.1:9901",
            "metrics": "off",
            "trusted_proxies": [],
            "tls_workers": "auto",
            "dashboard": True,
        },
        "deadlines": {"head": "10s", **inherited, "drain": "1h", "tls": "10s"},
        "limits": {
            "connections": 20000,
            "head_bytes": "32KiB",
            "body_bytes": "10MiB",
            "socket_buffer": "64KiB",
            "connections_per_client": "off",
        },
        "log": {"format": "auto", "progress": "5m", "query": False, "headers": []},
        "resolver": {"nameservers": [], "max_ttl": "10s", "ipv6": True, "hosts": {}},
        "kubernetes": {
            "api": "in-cluster",
            "token_file": "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "ca_file": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        },
        "tls": {},
        "upstreams": {"pod": {"address": "{pod}.pods.test:80", "discovery": "dns", "balance": "least-tunnels"}},
        "routes": [
            {
                "name": "call",
                "regex": "^/(?<pod>.+)$",
                "encoded_slash": "forward",
                "log": True,
                "upstream": "pod",
                "strip_prefix": False,
                "upgrade_only": False,
                "retries": 0,
                "deadlines": inherited,
            },
            {
                "name": "ready",
                "path": "/ready",
                "clients": ["10.0.0.0/8"],
                "encoded_slash": "refuse",
                "log": True,
                "respond": {"status": 200, **plain, "headers": {}}
                | {"draining": {"status": 503, **plain, "headers": {"X-A": "b"}}}
                | {"unprotected": {"status": 204, **plain, "headers": {}}},
            },
            {"name": "status", "prefix": "/", "encoded_slash": "forward", "log": True, "respond": "status"},
        ],
        "errors": [],
        "passthrough": [],
        "hooks": {},
    }


def test_what_is_off_has_its_own_word() -> None:
    text = """
        server = { admin = "off" }
        limits = { head_bytes = 1025, body_bytes = "unlimited" }
        log = { progress = "never" }
        deadlines = { idle = "never" }
        routes = [{ name = "a", path = "/", respond = "status" }]
    """
    tables = as_tables(load(text, environ={}))
    assert (tables["server"]["admin"], tables["log"]["progress"], tables["deadlines"]["idle"]) == (
        "off",
        "off",
        "never",
    )
    assert (tables["limits"]["head_bytes"], tables["limits"]["body_bytes"]) == (1025, "unlimited")


def test_no_key_of_a_section_is_forgotten() -> None:
    config = load((ROOT / "routing.toml").read_text(encoding="utf-8"), environ={})
    tables = as_tables(config)
    assert [*tables, "tracing"] == list(attrs.fields_dict(Config)), "that section changes something by being there"
    for section in ("server", "deadlines", "limits", "log", "resolver"):
        assert list(tables[section]) == list(attrs.fields_dict(type(getattr(config, section))))
