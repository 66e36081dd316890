"""A resolver in virtual time."""

from __future__ import annotations

import pytest
import trio

from splicer.net.resolve import Resolver
from tests.net.virtual import LIFETIME, Options, Servers


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
async def resolver(servers: Servers, nursery: trio.Nursery) -> Resolver:
    return Resolver(Options(), nursery=nursery, lifetime=LIFETIME, ask=servers.ask)
