"""What a connection to a pod must prove."""

from __future__ import annotations

import pytest

from splicer.pod_tls import PodTls
from splicer.routing.template import parse_template

_HOST = parse_template("{pod}.voice.{ns}.test")


@pytest.mark.parametrize(
    ("names", "host", "wanted"),
    [
        (("{host}",), "a-1.voice.x.test", ("a-1.voice.x.test",)),
        (("{host}",), "a-1.voice.x.test.", ("a-1.voice.x.test",)),
        (("spiffe://{ns}/sa/{pod}", "{pod}"), "a-1.voice.x.test", ("spiffe://x/sa/a-1", "a-1")),
        (("spiffe://{ns}/sa/{pod}", "any.test"), "of.another.test", ("any.test",)),
        (("spiffe://{ns}/sa/{pod}",), "a.b.voice.x.test", ()),
    ],
)
def test_the_names(names: tuple[str, ...], host: str, wanted: tuple[str, ...]) -> None:
    assert PodTls("/ca", names=names).proof("pod", _HOST, host).names == wanted


@pytest.mark.parametrize(
    ("sni", "asked"),
    [
        ("{host}", "a-1.voice.x.test"),
        ("{pod}.mesh.test", "a-1.mesh.test"),
        ("", None),
        ("10.0.0.1", None),
        ("{other}.test", None),
    ],
)
def test_the_server_name(sni: str, asked: str | None) -> None:
    assert PodTls("/ca", sni=sni).proof("pod", _HOST, "a-1.voice.x.test").sni == asked
