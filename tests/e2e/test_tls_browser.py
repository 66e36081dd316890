"""A real browser over TLS: it opens a page and a call, which outlives the worker."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Error, Page

from tests.e2e.browsers import browser, needed
from tests.kit.edge import Edge, running
from tests.kit.fleet import kill_worker
from tests.kit.pods import ws_pod
from tests.kit.site import Site
from tests.kit.tls import NAME, Certificates, tls_site

pytestmark = [pytest.mark.slow, needed]
_PAGE = """
[[routes]]
name = "page"
path = "/page"
respond = { status = 200, body = "<!doctype html><title>calls</title>", content_type = "text/html" }
"""
_OPEN = """url => new Promise((opened, failed) => {
    window.heard = [];
    window.call = new WebSocket(url);
    window.call.onopen = () => opened();
    window.call.onerror = () => failed(new Error("no call"));
    window.call.onmessage = message => window.heard.push(message.data);
    window.call.onclose = event => window.ended = `${event.code} ${event.wasClean}`;
})"""
_SAY = "words => words.forEach(word => window.call.send(word))"
_HEARD = "count => window.heard.length === count"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def edge(certificates: Certificates) -> Iterator[Edge]:
    site = Site()
    with running(tls_site(site, [certificates.folder("edge", NAME)], routes=_PAGE), site) as edge:
        yield edge


def fingerprint(folder: Path) -> str:
    """Of the public key, as --ignore-certificate-errors-spki-list wants it."""
    key = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes()).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode("ascii")


def options(edge: Edge, folder: Path) -> tuple[str, ...]:
    """The browser knows the edge's name, and trusts this key alone."""
    return (
        f"--host-resolver-rules=MAP {NAME} {edge.address[0]}",
        f"--ignore-certificate-errors-spki-list={fingerprint(folder)}",
    )


def talk(page: Page, words: list[str], heard: int) -> None:
    page.evaluate(_SAY, words)
    page.wait_for_function(_HEARD, arg=heard)


async def test_a_page_and_a_call(edge: Edge, certificates: Certificates, nursery: trio.Nursery) -> None:
    echo = edge.site.take()
    await ws_pod(nursery, echo.address, echo.port)
    origin = f"{NAME}:{edge.address[1]}"
    before, after = [f"word {number}" for number in range(50)], ["after " + "x" * 100_000, "the end"]

    def browse() -> list[str]:
        with browser(*options(edge, certificates.directory / "edge")) as opened:
            page = opened.new_page()
            answer = page.goto(f"https://{origin}/page")
            assert answer is not None
            assert (answer.status, page.title()) == (200, "calls")
            details = answer.security_details()
            assert details is not None
            assert details["protocol"] == "TLS 1.3"
            page.evaluate(_OPEN, f"wss://{origin}/ws1/{echo.name}/x")
            talk(page, before, 50)
            for kills in (1, 2):
                trio.from_thread.run(kill_worker, edge)
                talk(page, after, 50 + 2 * kills)
            heard: list[str] = page.evaluate("window.heard")
            page.evaluate("window.call.close(1000)")
            page.wait_for_function("window.ended")
            assert page.evaluate("window.ended") == "1000 true"
            return heard

    with trio.fail_after(100):
        heard = await trio.to_thread.run_sync(browse)
    assert heard == [*before, *after, *after]
    line = await edge.line("tunnel_close", path=f"/ws1/{echo.name}/x")
    assert (line["adopted"], line["tls_sni"], line["tls_version"]) == (2, NAME, "TLSv1.3")


async def test_it_refuses_a_key_that_it_does_not_trust(edge: Edge, certificates: Certificates) -> None:
    other = certificates.folder("other", NAME)

    def browse() -> None:
        with browser(*options(edge, other)) as opened, pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            opened.new_page().goto(f"https://{NAME}:{edge.address[1]}/page")

    with trio.fail_after(60):
        await trio.to_thread.run_sync(browse)
    await edge.line("tls_failed", reason="tls_alert")
