from __future__ import annotations

import socket

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from bench.names import serving
from bench.peers.base import Address

PODS = (("agent-1", "127.0.0.10"), ("agent-2", "127.0.0.11"))


def ask(server: Address, name: str, kind: str = "A") -> DNSRecord:
    question = DNSRecord.question(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"no question", server)
        sock.sendto(question.pack(), server)
        answer = DNSRecord.parse(sock.recv(4096))
    assert answer.header.id == question.header.id
    return answer


def test_each_name_has_its_address_for_ten_seconds() -> None:
    with serving(PODS, "pods.bench") as server:
        for name, address in PODS:
            [record] = ask(server, f"{name}.pods.bench").rr
            assert (QTYPE[record.rtype], str(record.rdata), record.ttl) == ("A", address, 10)


def test_case_is_no_difference() -> None:
    with serving(PODS, "pods.bench") as server:
        assert len(ask(server, "AGENT-1.Pods.Bench").rr) == 1


def test_there_is_no_other_record() -> None:
    with serving(PODS, "pods.bench") as server:
        answer = ask(server, "agent-1.pods.bench", "AAAA")
        assert (answer.header.rcode, answer.rr) == (RCODE.NOERROR, [])


@pytest.mark.parametrize("name", ["agent-3.pods.bench", "agent-1.pods.test", "agent-1"])
def test_others_do_not_exist(name: str) -> None:
    with serving(PODS, "pods.bench") as server:
        assert ask(server, name).header.rcode == RCODE.NXDOMAIN


def test_it_ends() -> None:
    with serving(PODS, "pods.bench") as server:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(server)
