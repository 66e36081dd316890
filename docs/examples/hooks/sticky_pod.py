"""Sends all calls of one caller to the same pod of a StatefulSet, whichever pods there are for others.

    [hooks.sticky]
    use = "sticky_pod:StickyPod"
    path = "/etc/splicer/hooks"
    options = { statefulset = "voice-agent", pods = 12, parameter = "caller" }
    captures = ["pod"]

    [[routes]]
    name = "by-caller"
    prefix = "/ws/"
    upgrade = ["websocket"]
    hooks = ["sticky"]
    upstream = "pod"             # "{pod}.voice-agent.voice-system.svc.cluster.local:8000"
    fallback = "any-pod"         # while that pod is down

Rendezvous hashing: with one pod more, only the callers move that the new pod gets. Nothing is remembered, so every
worker and every edge chooses the same pod.
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

from splicer.hooks import Answer, CallEnd, Continue, Decision, Request


class StickyPod:
    """The hook.

    Args:
        statefulset: its name: pods are NAME-0, NAME-1 ...
        pods: how many there are.
        parameter: the parameter of the query that names the caller.
    """

    def __init__(self, statefulset: str, pods: int, parameter: str = "caller") -> None:
        if pods < 1:
            raise ValueError("there must be a pod")
        self._names = [f"{statefulset}-{number}" for number in range(pods)]
        self._parameter = parameter
        self.calls = 0  # that have ended, for whoever looks with a debugger

    async def on_request(self, request: Request) -> Decision:
        """Choose the pod; a request without a caller gets 400."""
        caller = next((value for name, value in parse_qsl(request.query or "") if name == self._parameter), "")
        if not caller:
            return Answer(400, f"the parameter {self._parameter} is missing\n".encode())
        pod = max(self._names, key=lambda name: hashlib.sha256(f"{name}\0{caller}".encode()).digest())
        return Continue(captures={"pod": pod}, log={"sticky": pod})

    def on_call_end(self, call: CallEnd) -> None:
        """Count."""
        self.calls += 1
