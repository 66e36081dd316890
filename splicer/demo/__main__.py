"""``python -m splicer.demo URL [SECONDS]``: one call, to try the edge by hand."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from statistics import median

import trio

from splicer.demo.call import FRAMES_PER_SECOND, place_call
from splicer.demo.failure import DemoFailed, must_work
from splicer.demo.story import Story


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m splicer.demo", description="Place one call.")
    parser.add_argument("url", help="ws://HOST:PORT/PATH")
    parser.add_argument("seconds", type=int, nargs="?", default=5, help="how long to speak")
    arguments = parser.parse_args()
    if not arguments.url.startswith("ws://"):
        parser.error("the URL must start with ws://")
    try:
        with suppress(KeyboardInterrupt):
            trio.run(_call, arguments.url, arguments.seconds)
    except DemoFailed as error:
        sys.exit(f"splicer: {error}")


async def _call(url: str, seconds: int) -> None:
    story = Story()
    with must_work("the call", seconds + 10):
        async with place_call(url) as call:
            story.line(f"{call.pod} answered after {call.answered_after * 1000:.1f} ms")
            for second in range(seconds):
                times = [trip * 1000 for trip in await call.speak(FRAMES_PER_SECOND)]
                story.line(f"{second + 1} s: latency {median(times):.2f} ms (median), {max(times):.2f} ms (slowest)")


if __name__ == "__main__":
    _main()
