"""`splicer run --watch`: what is in force when a file comes to rest is what is there, whatever was there meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.kit.edge import running
from tests.kit.fleet import several
from tests.kit.site import Site
from tests.kit.wire import ask_until, until

pytestmark = pytest.mark.slow

ROUTE = '[[routes]]\nname = "{0}"\npath = "/{0}"\nrespond = {{ status = 200, body = "{0}\\n" }}\n'


def children_of(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


async def test_a_file_that_is_another_one_while_it_is_read_and_then_the_first_again() -> None:
    """A deployment that is taken back at once, and done again: no time and no inode tells the last from the first."""
    site = Site(pods=2)
    with running(several(site, 1), site, options=("--watch",)) as edge:
        text = edge.path.read_text()
        directory = edge.path.parent
        for name in ("one", "two"):
            (directory / name).write_text(text + ROUTE.format(name))

        def point_to(name: str) -> None:
            link = directory / "link"
            link.symlink_to(name)
            link.rename(edge.path)

        point_to("one")
        await edge.line("reload")
        point_to("two")
        before = children_of(edge.pid)
        await until(lambda: children_of(edge.pid) - before)  # it has been seen: a child begins to read it
        point_to("one")  # this is what the child reads
        await trio.sleep(0.6)
        point_to("two")
        await ask_until(edge.address, "/two", lambda reply: reply.status == 200)
