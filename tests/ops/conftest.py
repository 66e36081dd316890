"""A fake admin address for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from splicer.ops import drain
from splicer.ops.client import Client
from tests.ops.admin import HOST, Admin, serving


@pytest.fixture
def admin() -> Iterator[Admin]:
    with serving(Admin()) as serves:
        yield serves


@pytest.fixture
def client(admin: Admin) -> Client:
    return Client(HOST, admin.port)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(drain, "_RESTART_TIMEOUT", 0.1)
