"""Edges that run a copy of the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.e2e.upgrade.code import Code
from tests.kit.edge import Edge, running
from tests.kit.fleet import several
from tests.kit.pods import tunnel_pod
from tests.kit.site import Place, Site


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return Code(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def edge(code: Code) -> Iterator[Edge]:
    site = Site()
    with running(several(site), site, code=code.directory) as edge:
        yield edge


@pytest.fixture
def own_code(tmp_path: Path) -> Code:
    return Code(tmp_path / "code")


@pytest.fixture
def own_edge(own_code: Code) -> Iterator[Edge]:
    """For those who end it, or leave it in another state."""
    site = Site(pods=2)
    with running(several(site), site, code=own_code.directory) as edge:
        yield edge


@pytest.fixture
async def own_place(own_edge: Edge, nursery: trio.Nursery) -> Place:
    place = own_edge.site.take()
    await tunnel_pod(nursery, place.address, place.port)
    return place
