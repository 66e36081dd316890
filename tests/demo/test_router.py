"""What the router answers to providers' webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from xml.etree import ElementTree

import trio

from splicer.demo.places import PODS, ROUTER_HOST, ROUTER_PORT
from splicer.demo.router import run_router
from splicer.demo.web import fetch
from tests.kit.wire import ask

_ADDRESS = f"{ROUTER_HOST}:{ROUTER_PORT}"


@asynccontextmanager
async def _router() -> AsyncIterator[None]:
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_router)
            yield
            nursery.cancel_scope.cancel()


async def test_a_call_has_one_pod_whoever_asks_however() -> None:
    ways = [
        ("exotel", "exotel/allocate?CallSid=7", b""),
        ("plivo", "plivo/allocate", b"CallUUID=7"),
        ("twilio", "allocate", b"From=1&CallSid=7"),
        ("twilio", "allocate?CallSid=8", b"CallSid=7"),
    ]
    async with _router():
        told = [json.loads((await fetch(_ADDRESS, "POST", f"/api/v1/{rest}", body)).body) for _, rest, body in ways]
    pod = told[0]["pod"]
    assert pod in PODS
    way = f"ws://{_ADDRESS}/ws/pod/{pod}/agent/voice/breeze-buddy"
    assert told == [{"pod": pod, "url": f"{way}/{provider}/callback/order-confirmation/v2"} for provider, _, _ in ways]


async def test_calls_are_spread_over_all_pods() -> None:
    async with _router():
        answers = [await fetch(_ADDRESS, "POST", "/api/v1/allocate", b"CallSid=%d" % number) for number in range(40)]
        unnamed = [await fetch(_ADDRESS, "POST", "/api/v1/allocate") for _ in range(40)]
    assert {json.loads(answer.body)["pod"] for answer in answers} == set(PODS)
    assert len({json.loads(answer.body)["pod"] for answer in unnamed}) > 1


# A provider connects to where its webhook went: to the edge, which says so; a Host is whatever somebody sends.
async def test_twiml_leads_to_the_host_that_the_provider_has_asked() -> None:
    async with _router():
        told = await ask(
            (ROUTER_HOST, ROUTER_PORT), "POST", "/api/v1/twilio/allocate?CallSid=7", "X-Forwarded-Host: a&b<\"'>",
            host="inner.test",
        )  # fmt: skip
        plain = await ask((ROUTER_HOST, ROUTER_PORT), "POST", "/api/v1/twilio/allocate?CallSid=7", host="inner.test")
    assert told.get("Content-Type") == "application/xml"
    streams = [ElementTree.fromstring(answer.body).find("./Connect/Stream") for answer in (told, plain)]
    urls = [stream.attrib["url"] for stream in streams if stream is not None]
    assert [url.partition("/ws/pod/")[0] for url in urls] == ["ws://a&b<\"'>", "ws://inner.test"]


async def test_what_else_it_is_asked() -> None:
    async with _router():
        status = await fetch(_ADDRESS, "GET", "/api/v1/status")
        assert json.loads(status.body) == {"pods": sorted(PODS)}
        for path in ("/", "/api/v1/nope/allocate", "/api/v1/allocate/x", "/api/v1"):
            answer = await fetch(_ADDRESS, "GET", path)
            assert (answer.status, json.loads(answer.body)) == (404, {"error": "not found", "path": path})
