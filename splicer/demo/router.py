"""The smart router: it answers a provider's webhook with the URL of the pod that is to take the call."""

from __future__ import annotations

import secrets
import zlib
from html import escape
from urllib.parse import parse_qs

import trio

from splicer.demo.places import PODS, ROUTER, ROUTER_HOST, ROUTER_PORT
from splicer.demo.web import Answer, Request, serve

_STREAM = "ws://{edge}/ws/pod/{pod}/agent/voice/breeze-buddy/{provider}/callback/order-confirmation/v2"


async def run_router(*, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve until cancelled.

    Raises:
        DemoFailed: its address is not available.
    """
    await serve(ROUTER, ROUTER_HOST, ROUTER_PORT, _respond, task_status=task_status)


def _respond(request: Request) -> Answer:
    match request.path.removeprefix("/api/v1/").split("/"):
        case ["status"]:
            return Answer.of({"pods": sorted(PODS)})
        case ["twilio", "allocate"]:
            _, url = _allocate(request, "twilio")
            verb = f'<Response><Connect><Stream url="{escape(url)}"/></Connect></Response>'
            return Answer(200, "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{verb}\n'.encode())
        case ["plivo" | "exotel" as provider, "allocate"]:
            pod, url = _allocate(request, provider)
            return Answer.of({"pod": pod, "url": url})
        case ["allocate"]:
            pod, url = _allocate(request, "twilio")
            return Answer.of({"pod": pod, "url": url})
        case _:
            return Answer.of({"error": "not found", "path": request.path}, status=404)


# A provider that repeats its webhook gets the same pod again.
def _allocate(request: Request, provider: str) -> tuple[str, str]:
    form = parse_qs(request.target.partition("?")[2]) | parse_qs(request.body.decode("latin-1"))
    call = next((form[key][0] for key in ("CallSid", "CallUUID") if key in form), secrets.token_hex(4))
    pod = sorted(PODS)[zlib.crc32(call.encode()) % len(PODS)]
    edge = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    return pod, _STREAM.format(edge=edge, pod=pod, provider=provider)
