"""A vault of its own, and an edge whose calls it holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.kit.edge import Edge, running
from tests.kit.fleet import several
from tests.kit.pods import patient_echo, tunnel_pod
from tests.kit.site import Place, Site
from tests.kit.vaults import Vault, vault_at


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with vault_at(tmp_path_factory.mktemp("vault") / "vault.sock") as vault:
        yield vault


@pytest.fixture
def site() -> Site:
    return Site(pods=2)


@pytest.fixture
async def place(site: Site, nursery: trio.Nursery) -> Place:
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port, patient_echo)
    return place


@pytest.fixture
def edge(vault: Vault, site: Site) -> Iterator[Edge]:
    with running(several(site), site, options=("--vault", str(vault.path))) as edge:
        yield edge
