"""The tour: a webhook, the call that follows, a look at a pod, and a call whose pod has died."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from statistics import median

from splicer.demo.call import FRAME_BYTES, place_call
from splicer.demo.edge import Edge
from splicer.demo.failure import DemoFailed, must_work
from splicer.demo.pod import Pod
from splicer.demo.story import Story
from splicer.demo.web import Answer, fetch

_WEBHOOK = "/agent/voice/breeze-buddy/twilio/callback/order-confirmation/v2"
_FORM = b"CallSid=CA0123&From=%2B15550100&To=%2B15550199"
_FRAMES = 15
_STREAM = re.compile(r'<Stream url="([^"]+)"')
_ALLOCATED = re.compile(r"ws://[^/]+/ws/pod/([^/]+)(/.*)")


async def take_tour(story: Story, edge: Edge, pods: Mapping[str, Pod]) -> str:
    """Run the tour.

    Args:
        story: prints it.
        edge: the running edge.
        pods: the running pods, by name.

    Returns:
        The name of the pod that is stopped at the end.

    Raises:
        DemoFailed: a step had an unexpected result.
    """
    url = await _webhook(story, edge)
    allocated = _ALLOCATED.fullmatch(url)
    if allocated is None or allocated[1] not in pods:
        raise DemoFailed(f"the smart router named no pod's URL: {url}")
    pod, path = allocated.groups()
    story.title(f"2. The call: a WebSocket through the edge to {pod}, and to no other pod")
    answered_by = await _call(story, edge, url)
    if answered_by != pod:
        raise DemoFailed(f"the call was for {pod}, but {answered_by} has taken it")

    story.title("3. Plain HTTP to one pod, for debugging")
    await _look(story, edge, pod, path, fallback_from=None)

    story.title(f"4. {pod} is stopped, and the provider calls the same URL")
    with must_work(f"stopping {pod}"):
        await pods[pod].stop()
    answered_by = await _call(story, edge, url)
    if answered_by == pod:
        raise DemoFailed(f"{pod} was stopped, but has taken a call")
    await _look(story, edge, answered_by, path, fallback_from=pod)
    return pod


async def _webhook(story: Story, edge: Edge) -> str:
    story.title("1. A phone rings: the provider's webhook goes through the edge to the smart router")
    story.line(f"POST {_WEBHOOK}")
    with must_work("the webhook"):
        answer = await fetch(edge.address, "POST", _WEBHOOK, _FORM)
        found = _STREAM.search(answer.body.decode("utf-8", "replace"))
        if answer.status != 200 or found is None:
            raise DemoFailed(f"the webhook: {_brief(answer)}")
        url = html.unescape(found[1])
        story.line("200, TwiML: stream the call's audio to")
        story.line(url)
        story.log(await edge.entry("exchange", "twilio-callback"))
    return url


async def _call(story: Story, edge: Edge, url: str) -> str:
    with must_work("the call"):
        async with place_call(url) as call:
            story.line(f"{call.pod} answered after {call.answered_after * 1000:.1f} ms")
            times = [trip * 1000 for trip in await call.speak(_FRAMES)]
        story.line(f"{_FRAMES} frames of {FRAME_BYTES} bytes there and back, one every 20 ms:")
        story.line(f"latency {median(times):.2f} ms (median), {max(times):.2f} ms (slowest)")
        story.log(await edge.entry("tunnel_close", "pod-websocket"))
    return call.pod


# The pod itself reports its last call, through the edge. If that is not the call that was made, the edge has not done
# what the tour claims.
async def _look(story: Story, edge: Edge, pod: str, path: str, *, fallback_from: str | None) -> None:
    with must_work(f"asking {pod} for its calls"):
        answer = await fetch(edge.address, "GET", f"/{pod}/calls")
        if answer.status != 200:
            raise DemoFailed(f"asking {pod} for its calls: {_brief(answer)}")
        seen = json.loads(answer.body)
    last = seen["calls"][-1] if seen["calls"] else {}
    expected = {"path": path, "fallback_from": fallback_from, "frames": _FRAMES}
    if seen["pod"] != pod or not expected.items() <= last.items():
        raise DemoFailed(f"{pod} should have had a call with {json.dumps(expected)}, but says: {_brief(answer)}")
    story.line(f"GET /{pod}/calls")
    story.line(f"200, {pod} says of its last call: {last['frames']} frames, from {last['client']}, path")
    story.line(last["path"])
    if fallback_from is not None:
        story.line(f"X-Splicer-Fallback-From: {last['fallback_from']}")


def _brief(answer: Answer) -> str:
    return f"{answer.status}, {' '.join(answer.body.decode('utf-8', 'replace').split())[:300]}"
