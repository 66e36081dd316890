"""One connection of a tls process after its handshake, with sockets that hold little."""

from __future__ import annotations

import os
import select
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from splicer.ipc.tls_table import WORDS, End, OwnRow, ProcessWord, TlsTable, Word, make_tls_memory
from splicer.tls.link import Link
from splicer.tls.loop import Loop
from tests.kit.tls import NAME, Certificates, server_context
from tests.tls.bios import Side, shake_hands

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of asyncore
    from tlslite.constants import KeyUpdateMessageType  # type: ignore[import-untyped]
    from tlslite.tlsconnection import TLSConnection  # type: ignore[import-untyped]

_ROUNDS = 20  # of the loop, until nothing is left to do


class Trial:
    """A link, its peer's socket and its worker's end; the loop runs only in `settle`."""

    def __init__(self, stack: ExitStack) -> None:
        fd = make_tls_memory()
        stack.callback(os.close, fd)
        self.own = OwnRow(TlsTable(fd).row(0))
        self.crashes: list[Exception] = []
        self.loop = Loop(lambda _, error: self.crashes.append(error))
        stack.callback(self.loop.close)
        self.peer, self.raw = socket.socketpair()
        self.worker, self._plain = socket.socketpair()
        for sock in (self.peer, self.raw, self.worker, self._plain):
            stack.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.ends: list[End] = []

    def begin(self, side: Side) -> Link:
        """Begin the link, as the server of a handshake that is over."""
        claimed = self.own.claim()
        assert claimed is not None
        self.base = claimed[0] * WORDS
        for sock in (self.raw, self._plain):
            self.loop.watch(sock.fileno(), 0, lambda _: None)
        link = Link(
            self.loop,
            self.raw,
            self._plain,
            side.tls,
            side.incoming,
            side.outgoing,
            self.own.words,
            claimed[0],
            lambda *_: self.ends.append(End(self.own.words[self.base + Word.END])),
            to_pod=False,
        )
        link.begin(b"P")
        assert self.worker.recv(9) == b"P"
        return link

    def settle(self) -> None:
        """Run the loop until it would wait."""
        for _ in range(_ROUNDS):
            self.loop.over = False
            self.loop.queue(lambda: setattr(self.loop, "over", True))
            self.loop.run()
        assert not self.crashes

    @property
    def end(self) -> End:
        return End(self.own.words[self.base + Word.END])


@pytest.fixture
def trial() -> Iterator[Trial]:
    with ExitStack() as stack:
        yield Trial(stack)


@pytest.fixture
def client(certificates: Certificates) -> Side:
    return Side(certificates.client(), server=False)


@pytest.fixture
def link(trial: Trial, certificates: Certificates, client: Side) -> Link:
    server = Side(server_context(certificates.folder("edge", NAME)), server=True)
    shake_hands(client, server)
    return trial.begin(server)


def received(sock: socket.socket) -> bytes:
    data = b""
    while select.select([sock], [], [], 0)[0] and (more := sock.recv(1 << 16)):
        data += more
    return data


def fill(sock: socket.socket, data: bytes) -> int:
    """Send as much as it takes."""
    sent = 0
    while select.select([], [sock], [], 0)[1]:
        sent += sock.send(data)
    return sent


def say(trial: Trial, client: Side, data: bytes) -> None:
    client.tls.write(data)
    trial.peer.sendall(client.outgoing.read())
    trial.settle()


def read(trial: Trial, client: Side) -> bytes:
    """What the client reads."""
    client.incoming.write(received(trial.peer))
    data = b""
    try:
        while more := client.tls.read(1 << 16):
            data += more
    except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
        pass
    return data


@pytest.mark.usefixtures("link")
def test_it_copies_both_ways(trial: Trial, client: Side) -> None:
    say(trial, client, b"question")
    assert received(trial.worker) == b"question"
    trial.worker.send(b"answer")
    trial.settle()
    assert read(trial, client) == b"answer"
    words = trial.own.words
    assert (words[trial.base + Word.RECEIVED], words[trial.base + Word.SENT]) == (8, 6)


@pytest.mark.usefixtures("link")
def test_a_record_may_come_byte_by_byte(trial: Trial, client: Side) -> None:
    client.tls.write(b"question")
    for byte in client.outgoing.read():
        trial.peer.send(bytes([byte]))
        trial.settle()
    assert received(trial.worker) == b"question"


def test_nothing_grows_when_the_peer_does_not_read(trial: Trial, client: Side, link: Link) -> None:
    sent = 0
    for _ in range(50):
        sent += fill(trial.worker, b"x" * 1000)
        trial.settle()
    assert sent < 100_000
    assert link.blocked
    data = b""
    while len(data) < sent:
        data += read(trial, client)
        trial.settle()
    assert data == b"x" * sent
    assert not link.blocked


def test_nothing_grows_when_the_worker_does_not_read(trial: Trial, client: Side, link: Link) -> None:
    sent, rest = 0, b""
    for _ in range(50):
        if not rest:
            client.tls.write(b"y" * 1000)
            sent, rest = sent + 1000, client.outgoing.read()
        if select.select([], [trial.peer], [], 0)[1]:
            rest = rest[trial.peer.send(rest) :]
        trial.settle()
    assert sent < 50_000
    data = b""
    while len(data) < sent:
        data += received(trial.worker)
        trial.settle()
        if rest and select.select([], [trial.peer], [], 0)[1]:
            rest = rest[trial.peer.send(rest) :]
    assert data == b"y" * sent
    assert not link.closed


@pytest.mark.usefixtures("link")
def test_the_peer_s_end_is_half_of_the_connection_s(trial: Trial, client: Side) -> None:
    say(trial, client, b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    trial.peer.send(client.outgoing.read())
    trial.settle()
    assert received(trial.worker) == b"last words"
    assert trial.end == End.EOF
    assert trial.own.words[ProcessWord.TRUNCATED] == 0
    trial.worker.send(b"an answer, though")
    trial.settle()
    assert read(trial, client) == b"an answer, though"


@pytest.mark.usefixtures("link")
def test_an_end_without_close_notify_is_counted(trial: Trial, client: Side) -> None:
    say(trial, client, b"last words")
    trial.peer.shutdown(socket.SHUT_WR)
    trial.settle()
    assert received(trial.worker) == b"last words"
    assert trial.end == End.EOF
    assert trial.own.words[ProcessWord.TRUNCATED] == 1


@pytest.mark.usefixtures("link")
def test_a_record_that_was_changed_ends_it(trial: Trial, client: Side) -> None:
    client.tls.write(b"question")
    record = bytearray(client.outgoing.read())
    record[-1] ^= 1
    trial.peer.send(record)
    trial.settle()
    assert received(trial.worker) == b""
    assert trial.end == End.TLS_ERROR


@pytest.mark.usefixtures("link")
def test_the_worker_s_end_reaches_the_peer_behind_its_bytes(trial: Trial, client: Side) -> None:
    trial.worker.send(b"last words")
    trial.worker.shutdown(socket.SHUT_WR)
    trial.settle()
    assert read(trial, client) == b"last words"
    assert client.tls.read(1) == b""  # close_notify
    say(trial, client, b"an answer, though")
    assert received(trial.worker) == b"an answer, though"


# tlslite's client renews its keys; Python's can't.
def test_renewed_keys_that_are_not_read_are_bounded(trial: Trial, certificates: Certificates) -> None:
    server = Side(server_context(certificates.folder("edge", NAME)), server=True)
    client = TLSConnection(trial.peer)
    step = client.handshakeClientCert(serverName=NAME, async_=True)
    over = False
    while not (over and server.over):
        over = over or next(step, None) is None
        server.incoming.write(received(trial.raw))
        if answer := server.shake():
            trial.raw.sendall(answer)
    link = trial.begin(server)
    sent = 0
    while sent < 5000 and select.select([], [trial.peer], [], 0)[1]:
        for _ in client.send_keyupdate_request(KeyUpdateMessageType.update_requested):
            break
        sent += 1
        trial.settle()
    assert sent < 5000
    assert len(link._to_raw) + server.outgoing.pending < 10_000


def test_a_crash_is_told_and_the_others_go_on(trial: Trial) -> None:
    ones, others = socket.socketpair()
    heard: list[int] = []

    def crash(_: int) -> None:
        raise ZeroDivisionError

    with ones, others:
        for sock, handler in ((ones, crash), (others, heard.append)):
            trial.loop.watch(sock.fileno(), select.EPOLLOUT, handler)
        trial.loop.queue(lambda: setattr(trial.loop, "over", True))
        trial.loop.run()
    assert [type(error) for error in trial.crashes] == [ZeroDivisionError]
    assert heard == [select.EPOLLOUT]


class Orders:
    """Things happen in any order to a link."""

    def __init__(self, trial: Trial, client: Side, random: Random) -> None:
        self.trial, self.client, self.random = trial, client, random
        self.to_worker = self.to_client = self.at_worker = self.at_client = b""
        self.rest = b""  # of what the client sends
        self.client_over = self.worker_over = False

    def step(self) -> None:
        """One thing."""
        trial, random = self.trial, self.random
        match random.choice(["say", "say", "answer", "answer", "hear", "hear", "hear", "end", "leave"]):
            case "say" if not self.client_over:
                data = random.randbytes(random.choice([1, 160, 5000, 20_000]))
                self.client.tls.write(data)
                self.rest += self.client.outgoing.read()
                self.to_worker += data
            case "answer" if not self.worker_over and _has_room(trial.worker):
                data = random.randbytes(random.choice([1, 160, 5000]))
                self.to_client += data[: trial.worker.send(data)]
            case "hear":
                self.hear()
            case "end" if not self.rest and random.random() < 0.2:
                self.client_over = True
                trial.peer.shutdown(socket.SHUT_WR)
            case "leave" if random.random() < 0.2:
                self.worker_over = True
                trial.worker.shutdown(socket.SHUT_WR)
        if self.rest and _has_room(trial.peer):
            self.rest = self.rest[trial.peer.send(self.rest) :]
        if random.random() < 0.7:
            trial.settle()

    def hear(self) -> None:
        """Both sides read."""
        self.at_worker += received(self.trial.worker)
        self.at_client += read(self.trial, self.client)


def _has_room(sock: socket.socket) -> bool:
    return bool(select.select([], [sock], [], 0)[1])


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("seed", range(8))
def test_in_any_order_what_comes_is_what_was_sent(trial: Trial, client: Side, seed: int) -> None:
    orders = Orders(trial, client, Random(seed))
    for _ in range(60):
        orders.step()
    for _ in range(200):
        orders.hear()
        if orders.rest and _has_room(trial.peer):
            orders.rest = orders.rest[trial.peer.send(orders.rest) :]
        trial.settle()
    assert orders.at_worker == orders.to_worker
    assert orders.at_client == orders.to_client
    assert (trial.end == End.EOF) == orders.client_over
