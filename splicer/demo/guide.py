"""The texts before and after the tour: the processes and addresses, and commands to try by hand."""

from __future__ import annotations

import shlex
import sys

from splicer.demo.edge import Edge
from splicer.demo.places import ADMIN, POD_PORT, PODS, ROUTER, ROUTER_HOST, ROUTER_PORT
from splicer.demo.story import Story


def introduce(story: Story, edge: Edge) -> None:
    """Print the parts of the system and their addresses."""
    names, hosts = list(PODS), list(PODS.values())
    story.title("A whole voice system on this machine")
    story.line(f"pods    {names[0]} to {names[-1]}, on {hosts[0]}:{POD_PORT} to {hosts[-1]}:{POD_PORT}")
    story.line(f"router  {ROUTER}, on {ROUTER_HOST}:{ROUTER_PORT}")
    story.line(f"edge    splicer run, on {edge.address}, process {edge.pid}")
    story.line(f"        {edge.file}")


def show_by_hand(story: Story, edge: Edge, stopped: str, calls: int) -> None:
    """Print commands that can be pasted into a shell.

    Args:
        story: prints them.
        edge: the running edge.
        stopped: the name of the pod that no longer runs.
        calls: how many calls are kept alive.
    """
    pod = next(name for name in PODS if name != stopped)
    http, ws = f"http://{edge.address}", f"ws://{edge.address}/ws/pod"
    caller = f"{shlex.quote(sys.executable)} -m splicer.demo"
    file = f"-c {shlex.quote(str(edge.file))}"
    story.title(f"Look at it ({_kept(calls)})")
    story.line(f"http://{ADMIN}/  # the dashboard, in a browser")
    story.line(f"{shlex.quote(sys.executable)} -m splicer top {file}  # the same in a terminal")
    story.title(f"Try it by hand ({stopped} stays stopped)")
    story.line(f"curl {http}/health")
    story.line(f"curl {http}/nginx-status")
    story.line(f"curl -d CallSid=CA1 {http}/api/v1/twilio/allocate")
    story.line(f"curl {http}/{pod}/calls")
    story.line(f"curl '{http}/{pod}/what/the%20pod?gets=to&see'")
    story.line(f"{caller} {ws}/{pod}/hello 10  # a call of 10 seconds; wscat does too")
    story.line(f"{caller} {ws}/{stopped}/hello 10  # one that falls back")
    story.line(f"{shlex.quote(sys.executable)} -m splicer tunnels list {file}  # meanwhile")
    story.line(f"curl http://{ADMIN}/metrics")
    story.title(f"The edge is process {edge.pid}, its file {edge.file}")
    story.line(f"kill -HUP {edge.pid}   # reloads the file: calls go on")
    story.line(f"kill -TERM {edge.pid}  # drains: calls go on to their end, what is new gets 503")
    story.title("Ctrl-C ends the demo. Until then, what the edge logs:")


def _kept(calls: int) -> str:
    if calls == 1:
        return "1 call is kept alive"
    return f"{calls} calls are kept alive" if calls else "no call is kept alive; --calls keeps some"
