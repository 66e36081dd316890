"""A pod of two containers, and the place to which its calls go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.e2e.containers import PodOfContainers, pod_of_containers, refusal
from tests.kit.pods import patient_echo, tunnel_pod
from tests.kit.site import Place, Site


@pytest.fixture(scope="session", autouse=True)
def _possible() -> None:
    if (why := refusal()) is not None:
        pytest.skip(why)


@pytest.fixture
def site() -> Site:
    return Site(pods=2)


@pytest.fixture
async def place(site: Site, nursery: trio.Nursery) -> Place:
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port, patient_echo)
    return place


@pytest.fixture
def pod() -> Iterator[PodOfContainers]:
    with pod_of_containers() as pod:
        yield pod
