"""Whether a message has the descriptors that its kind must have: it comes from another process, and may have any."""

from __future__ import annotations

from splicer.vault import protocol
from splicer.vault.held import is_channel, is_pipe, is_stream
from splicer.vault.protocol import TO_CLIENT, TO_POD, Kind, Message

_PARKED = protocol.parked(TO_POD) | protocol.parked(TO_CLIENT)  # each of these flags brings a pipe


def has_fit_descriptors(message: Message) -> bool:
    """Whether their number and kinds are right.

    Args:
        message: its descriptors stay open.
    """
    return len(message.fds) == _descriptors(message) and _are_fit(message)


def _are_fit(message: Message) -> bool:
    fds = message.fds
    if message.kind == Kind.TUNNEL and len(fds) == 2:  # nearly every message with descriptors
        return is_stream(fds[0]) and is_stream(fds[1])
    match message.kind:
        case Kind.TUNNEL:
            return all(map(is_stream, fds[:2])) and all(map(is_pipe, fds[2:]))
        case Kind.PIPE:
            return all(map(is_pipe, fds))
        case Kind.LISTENERS:
            return all(is_stream(fd, listens=True) for fd in fds)
        case Kind.TLS:
            return is_channel(fds[0])
    return True


def _descriptors(message: Message) -> int:
    if message.kind == Kind.TUNNEL:
        return 2 + (message.flags & _PARKED).bit_count()
    if message.kind == Kind.LISTENERS:
        return len(message.fds)
    if message.kind == Kind.TLS:
        return 2
    return 1 if message.kind in (Kind.HELLO, Kind.PIPE) else 0
