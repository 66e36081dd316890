"""`splicer run --watch`: the next request goes by the new file, without a signal."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.e2e.operator import observed, scrape_until
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running, session_of
from tests.kit.fleet import echoes
from tests.kit.pods import tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import ask, until

ROUTE = '[[routes]]\nname = "{0}"\npath = "/{0}"\nrespond = {{ status = 200, body = "{0}\\n" }}\n'
BROKEN = "[[routes]]\ncolour = 'red'\n"


class Volume:
    """The directory of an edge's file, as a kubelet keeps that of a ConfigMap.

    The file is a link to ``..data/routing.toml``, and ``..data`` one to the directory with the newest files.
    """

    def __init__(self, edge: Edge) -> None:
        self._directory = edge.path.parent
        self._number = 0
        self.put(edge.path.read_text())
        link = self._directory / "link"
        link.symlink_to("..data/routing.toml")
        link.rename(edge.path)

    def put(self, text: str) -> None:
        """Swap the files for others."""
        old = self._directory / f"..2026_{self._number}"
        self._number += 1
        new = self._directory / f"..2026_{self._number}"
        new.mkdir()
        (new / "routing.toml").write_text(text)
        link = self._directory / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(self._directory / "..data")
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def watching(site: Site, code: Path | None = None) -> Iterator[Edge]:
    """An edge that watches its file, and has an admin address."""
    with running(observed(site, 1), site, options=("--watch",), code=code) as edge:
        yield edge


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with watching(Site(pods=2)) as edge:
        yield edge


@pytest.fixture(scope="module")
def text(edge: Edge) -> str:
    """Its first file."""
    return edge.path.read_text()


async def has(edge: Edge, name: str) -> bool:
    """Whether it has this route."""
    return (await ask(edge.address, "GET", f"/{name}")).status == 200


# ---- a volume ----


async def test_a_volume_that_is_swapped(edge: Edge, text: str, nursery: trio.Nursery) -> None:
    """A broken file changes nothing, is told of once, and the next one mends it; a live call hears of none."""
    place = edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    volume = Volume(edge)
    await edge.line("reload")
    async with tunnel(edge, f"/ws/{place.name}/x") as call:
        edge.mark()
        volume.put(text + ROUTE.format("new"))
        assert "new" in " ".join((await edge.line("reload"))["changes"])
        assert await has(edge, "new")
        await echoes(call)
        volume.put(text + BROKEN)
        await edge.line("reload_failed", kept="the old routes")
        assert "colour" in " ".join(line["fault"] for line in edge.find("reload_fault"))
        await scrape_until(edge, lambda now: now.total("config_last_reload_success") == 0)
        assert await has(edge, "new")
        await echoes(call)
        volume.put(text + ROUTE.format("newer"))
        await edge.wait_lines(2, "reload")
        assert await has(edge, "newer")
        assert not await has(edge, "new")
        await scrape_until(edge, lambda now: now.total("config_last_reload_success") == 1)
        assert len(edge.find("reload_failed")) == 1
        await echoes(call)


# ---- a file ----


@pytest.mark.slow
async def test_a_file_that_goes_and_comes_back(edge: Edge, text: str) -> None:
    edge.path.unlink()
    await edge.line("reload_failed")
    assert "No such file" in edge.find("reload_fault")[0]["fault"]
    assert await has(edge, "health")
    edge.write(text)
    await edge.line("reload")
    assert len(edge.find("reload_failed")) == 1


@pytest.mark.slow
async def test_a_file_that_is_renamed_over(edge: Edge, text: str) -> None:
    other = edge.path.with_name("other")
    other.write_text(text + ROUTE.format("renamed"))
    other.rename(edge.path)
    await edge.line("reload")
    assert await has(edge, "renamed")


@pytest.mark.slow
async def test_keys_that_need_a_restart_are_named(edge: Edge, text: str) -> None:
    edge.write(text.replace("workers = 1", "workers = 2"))
    await edge.line("reload_needs_restart", key="server.workers")
    edge.write(text)
    await edge.line("reload")


# Looks come once a second: while the file of the edge that watches is read twice, the other one would be read too.
@pytest.mark.slow
async def test_without_the_option_a_change_does_nothing(edge: Edge, text: str) -> None:
    with running(edge.site.toml(), edge.site) as other:
        other.write(edge.site.toml(ROUTE.format("unseen")))
        for count in (1, 2):
            edge.write(text + ROUTE.format(f"seen-{count}"))
            await edge.wait_lines(count, "reload")
        assert not other.find(("reload", "reload_failed"))
        assert not await has(other, "unseen")


# ---- with an upgrade ----


@pytest.mark.slow
async def test_it_goes_on_after_an_upgrade_and_sees_what_has_changed_meanwhile(edge: Edge, text: str) -> None:
    for name in ("meanwhile", "after"):
        edge.mark()
        edge.signal(signal.SIGUSR2)
        await edge.line("upgrade")  # the file has been read for it
        if name == "after":
            await edge.line("upgraded")
        edge.write(text + ROUTE.format(name))
        await edge.line("reload")
        await edge.line("upgraded")
        assert await has(edge, name)
        assert ["nothing"] not in [line["changes"] for line in edge.find("reload")]


@pytest.mark.slow
async def test_what_an_upgrade_has_put_in_force_is_no_failure_any_more() -> None:
    """... although the last reload was one. Here nobody watches: there would be another one."""
    site = Site(pods=2)
    with running(observed(site, 1), site) as edge:
        text = edge.path.read_text()
        assert (await edge.reload(text + BROKEN))["event"] == "reload_failed"
        await scrape_until(edge, lambda now: now.total("config_last_reload_success") == 0)
        edge.write(text)
        edge.signal(signal.SIGUSR2)
        await edge.line("upgraded")
        await until(lambda: "splicer: admin" in [title for _, title in session_of(edge.pid)])
        await scrape_until(edge, lambda now: now.total("config_last_reload_success") == 1)
