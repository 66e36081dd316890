"""`splicer vault`: the holder as a process of its own, for a container that outlives the edge's."""

from __future__ import annotations

import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any, Protocol

from splicer.vault.holder import KEEP_SECONDS, TICK, Holder
from splicer.vault.local_socket import listen_at, peer_of

Log = Callable[..., None]


class Tls(Protocol):
    """The tls processes of a `splicer vault --tls`, which this package knows nothing else of."""

    def attach(self, sock: socket.socket, table: int) -> None:
        """Follow a supervisor's orders; both are owned from now on."""
        ...

    def tidy(self) -> None:
        """Do regular work; it must not wait."""
        ...


def serve(
    path: Path,
    log: Log,
    keep: float = KEEP_SECONDS,
    notify: Callable[[str], object] = lambda _: None,
    beat: Callable[[], None] = lambda: None,
    tls: Callable[[selectors.BaseSelector], Tls] | None = None,
) -> None:
    """Hold tunnels until SIGTERM or SIGINT; tunnels without a worker end then.

    Args:
        path: the path of the socket, mode 0600; only processes of the same user (or root) are accepted.
        log: called as `log(event, **fields)`.
        keep: seconds for which a tunnel without a worker is kept.
        notify: called with ``READY=1`` and ``STOPPING=1`` (sd_notify(3)).
        beat: called in each turn of the loop, at least once per `TICK`.
        tls: makes what has the tls processes; None: this vault has none.

    Raises:
        OSError: the socket can't be created; EADDRINUSE: another vault listens there.
    """
    stop = _stop_signals()
    with selectors.DefaultSelector() as selector, listen_at(path, socket.SOCK_SEQPACKET) as listener:
        processes = None if tls is None else tls(selector)
        holder = Holder(selector, log, keep, None if processes is None else processes.attach)
        selector.register(stop, selectors.EVENT_READ)
        log("vault_ready", socket=str(path), tls=processes is not None)
        notify("READY=1")
        tidy = (holder.tidy,) if processes is None else (holder.tidy, processes.tidy)
        _loop(selector, holder, partial(_accept, listener, holder, log), listener, log, beat, tidy)
        notify("STOPPING=1")
        path.unlink(missing_ok=True)
    # Another signal would be written to the closed wakeup socket, and would end the process with another exit code.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    log("vault_stopped", tunnels=len(holder.tunnels))


# If there is no descriptor for a new connection, the listener is not watched until the next tick: it would stay
# readable and keep the loop busy.
def _loop(
    selector: selectors.BaseSelector,
    holder: Holder,
    accept: Callable[[], bool],
    listener: socket.socket,
    log: Log,
    beat: Callable[[], None],
    tidy: Sequence[Callable[[], None]],
) -> None:
    due, listening = 0.0, False
    while True:
        for key, events in selector.select(max(0.0, due - time.monotonic())):
            if key.data is None:
                return
            if key.fileobj is listener:
                if not accept():
                    selector.unregister(listener)
                    listening = False
                    break
            else:
                _guarded(log, key.data, events)
        holder.rest()
        if time.monotonic() >= due:
            if not listening:
                selector.register(listener, selectors.EVENT_READ, accept)
                listening = True
            for call in tidy:
                _guarded(log, call)
            due = time.monotonic() + min(TICK, holder.tidy_interval)
            beat()


# Invariant: an error in handling one message never ends the vault, and with it all calls.
def _guarded(log: Log, call: Callable[..., Any], *arguments: int) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - logged; the vault must not fail
        with suppress(Exception):  # there may be no memory for a log line
            log("vault_error", level="error", error=repr(error), traceback="".join(format_exception(error))[-2000:])


def _accept(listener: socket.socket, holder: Holder, log: Log) -> bool:
    try:
        sock, _ = listener.accept()
    except BlockingIOError:
        return True
    except OSError as error:
        log("vault_accept_failed", level="error", error=error.strerror)
        return False
    peer = peer_of(sock)
    if peer.may_ask:
        holder.attach(sock)
    else:
        log("vault_peer_refused", level="error", uid=peer.uid)
        sock.close()
    return True


def _stop_signals() -> socket.socket:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    signal.set_wakeup_fd(theirs.detach())
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
    for signum in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return ours
