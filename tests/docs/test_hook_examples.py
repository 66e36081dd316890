"""The hooks that docs/examples/ has: with real signatures, and through a real session."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from splicer.configfile.hooks import load_hooks
from splicer.hook_settings import HookSettings
from splicer.hooks import Answer, CallEnd, Continue, Request, RequestHook

_HOOKS = Path(__file__).parents[2] / "docs" / "examples" / "hooks"


def example(use: str, **options: Any) -> RequestHook:
    settings = HookSettings("h", use, str(_HOOKS), tuple(options.items()))
    return cast("RequestHook", load_hooks("f", [settings]).hooks["h"].instance)


def request(path: str = "/", query: str | None = None, **more: Any) -> Request:
    usual = {"headers": (), "client": "192.0.2.7", "route": "r", "captures": {}, "protocol": "websocket"}
    return Request("1", "GET", "https", "Voice.example.com", path, query, **(usual | more))


def decide(hook: RequestHook, asked: Request) -> Answer | Continue | None:
    return trio.run(hook.on_request, asked)


# ---- Twilio ----

_TWILIO = "twilio_signature:TwilioSignature"


def signed(url: str, token: bytes = b"12345") -> str:
    return base64.b64encode(hmac.new(token, url.encode(), hashlib.sha1).digest()).decode()


def test_the_signature_of_twilios_own_documentation() -> None:
    """The URL alone is signed for a GET: https://www.twilio.com/docs/usage/security#validating-requests."""
    hook = example(_TWILIO, token="12345", hosts=("voice.example.com",))
    url = "https://Voice.example.com/x?a=b%20c"
    headers = ((b"x-twilio-signature", signed(url).encode()),)
    found = decide(hook, request("/x", "a=b%20c", headers=headers, protocol=None))
    assert found == Continue(remove_headers=("X-Twilio-Signature",), log={"twilio": "signed"})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"headers": ((b"X-Twilio-Signature", b""),)},
        {"headers": ((b"X-Twilio-Signature", signed("wss://Voice.example.com/y").encode()),)},
        {"headers": ((b"X-Twilio-Signature", signed("https://Voice.example.com/x").encode()),)},
        {"headers": ((b"X-Twilio-Signature", signed("wss://Voice.example.com/x", b"other").encode()),)},
        {"headers": ((b"X-Twilio-Signature", signed("wss://Voice.example.com/x").encode()),) * 2},
        {"headers": ((b"X-Twilio-Signature", b"\xff"),)},
    ],
)
def test_all_else_is_refused(more: dict[str, Any]) -> None:
    hook = example(_TWILIO, token="12345", hosts=("voice.example.com",))
    found = decide(hook, request("/x", **more))
    assert isinstance(found, Answer)
    assert found.status == 403


def test_another_host_and_another_method_are_refused() -> None:
    url = "wss://evil.example/x"
    hook = example(_TWILIO, token="12345", hosts=("voice.example.com",))
    asked = Request("1", "GET", "https", "evil.example", "/x", None, ((b"X-Twilio-Signature", signed(url).encode()),),
                    "192.0.2.7", "r", {}, "websocket")  # fmt: skip
    assert isinstance(decide(hook, asked), Answer)


# ---- a sticky pod ----

_STICKY = "sticky_pod:StickyPod"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_caller_stays_and_moves_only_to_the_new_pod(caller: str) -> None:
    query = f"a=b&caller={quote(caller)}"
    few, more = (example(_STICKY, statefulset="agent", pods=pods) for pods in (4, 5))
    one, again, other = (decide(hook, request(query=query)) for hook in (few, few, more))
    assert isinstance(one, Continue)
    assert isinstance(other, Continue)
    assert one == again
    assert other.captures["pod"] in (one.captures["pod"], "agent-4")


def test_callers_are_spread() -> None:
    hook = example(_STICKY, statefulset="agent", pods=4)
    found = Counter(cast("Continue", decide(hook, request(query=f"caller={n}"))).captures["pod"] for n in range(400))
    assert len(found) == 4
    assert min(found.values()) > 60


@pytest.mark.parametrize("query", [None, "", "caller=", "other=1"])
def test_a_caller_is_needed(query: str | None) -> None:
    found = decide(example(_STICKY, statefulset="agent", pods=4), request(query=query))
    assert isinstance(found, Answer)
    assert (found.status, found.body) == (400, b"the parameter caller is missing\n")


def test_the_ends_of_calls_are_counted() -> None:
    hook: Any = example(_STICKY, statefulset="agent", pods=4)
    hook.on_call_end(CallEnd("1", "r", "c", None, None, 1.0, 0, 0, "client", "eof"))
    assert hook.calls == 1
