"""A handshake with a pod, as the request that waits for it sees it."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from splicer.errors import ConnectFailed
from splicer.ipc.tls_messages import ReachPod
from splicer.model import Endpoint
from splicer.observer import Observer
from splicer.pod_tls import PodProof, PodTls
from splicer.tls_errors import TlsLost, TlsNameMismatch, TlsUntrusted
from splicer.tls_facts import TlsFacts, TlsFailure
from splicer.upstream.tls_pods import TlsPods

_PROOF = PodProof("voice", "pod-1.test", ("pod-1.test",), PodTls("ca.pem"))
_ENDPOINT = Endpoint("pod-1", "10.0.0.1", 8443)


class Secured:
    """A plain end behind which TLS is spoken."""

    class tls:  # noqa: N801 - the attribute's name
        facts = TlsFacts("TLSv1.3", "AES", seconds=0.25)


class Links:
    """Tls processes with one answer."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[object, object]] = []

    async def shake_hands(self, task: object, raw: object) -> object:
        self.asked.append((task, raw))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Seen(Observer):
    """What an observer is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def tls_established(self, side: str, profile: str, seconds: float) -> None:
        self.told.append((side, profile, seconds))

    def tls_failed(self, side: str, address: str, profile: str, failure: TlsFailure) -> None:
        self.told.append((side, address, profile, failure))


async def secured(links: Links, seen: Seen) -> Any:
    stream: Any = type("Stream", (), {"sock": "the raw socket"})
    pods = TlsPods(links, seen)  # type: ignore[arg-type]  # it has the one method
    return await pods.secure(stream, _PROOF, _ENDPOINT)


async def test_the_pods_connection_goes_to_a_tls_process_and_its_plain_end_comes_back() -> None:
    end, seen = Secured(), Seen()
    links = Links(end)
    assert await secured(links, seen) is end
    assert links.asked == [(ReachPod("voice", "pod-1.test", ("pod-1.test",)), "the raw socket")]
    assert seen.told == [("pod", "voice", 0.25)]


@pytest.mark.parametrize(
    ("failure", "error", "detail"),
    [
        (TlsFailure("tls_untrusted", "self-signed"), TlsUntrusted, "self-signed"),
        (TlsFailure("tls_name_mismatch"), TlsNameMismatch, "tls_name_mismatch"),
        (TlsFailure("tls_lost", "it has ended"), TlsLost, "it has ended"),
        (TlsFailure("tls_of_next_year", "x"), TlsLost, "x"),
    ],
)
async def test_a_failure_is_an_error_with_its_own_reason(
    failure: TlsFailure, error: type[ConnectFailed], detail: str
) -> None:
    seen = Seen()
    with pytest.raises(ConnectFailed) as raised:
        await secured(Links(failure), seen)
    assert (type(raised.value), raised.value.detail) == (error, f"10.0.0.1:8443: {detail}")
    assert seen.told == [("pod", "10.0.0.1", "voice", failure)]


async def test_without_a_descriptor_nobody_can_do_it() -> None:
    seen = Seen()
    with pytest.raises(TlsLost, match="Too many open files"):
        await secured(Links(OSError(errno.EMFILE, "Too many open files")), seen)
    assert seen.told == [("pod", "10.0.0.1", "voice", TlsFailure("tls_lost", "Too many open files"))]
