"""What this machine allows."""

from __future__ import annotations

import resource

import pytest

from bench import node


def test_numbers_of_a_sysctl() -> None:
    found = node.sysctl("net.ipv4.ip_local_port_range")
    assert found is not None
    assert node.ports() == found[1] - found[0] + 1


def test_a_sysctl_that_is_not_there() -> None:
    assert node.sysctl("net.no_such") is None
    assert node.first("net.no_such") is None


def test_descriptors_without_a_limit_end_at_nr_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert node.nofile() == node.first("fs.nr_open")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert node.nofile() == 4096


def test_memory() -> None:
    total, free = node.memory(), node.meminfo("MemFree")
    assert total is not None
    assert free is not None
    assert 0 < free < total
    assert node.meminfo("NoSuch") is None


def test_the_growth_of_the_slabs_is_of_all_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([1_000_000, 1_000_000 + 20 * 4000])
    monkeypatch.setattr(node, "meminfo", lambda _: next(sizes))
    assert node.socket_bytes(10) == 4000.0


def test_without_a_size_of_the_slabs_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "meminfo", lambda _: None)
    with pytest.raises(OSError, match="Slab"):
        node.socket_bytes(10)
