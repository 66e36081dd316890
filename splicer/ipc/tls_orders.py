"""What the supervisor tells other processes of tls processes."""

from __future__ import annotations

from splicer.ipc.message import message
from splicer.ipc.messages import AdminOrder, DiscoveryOrder, WorkerOrder
from splicer.ipc.tls_messages import ProfileFacts


@message("attach_tls", since=1)
class AttachTls(WorkerOrder, DiscoveryOrder):
    """Give TLS connections to a tls process; comes with a channel to it (`ipc.tls_messages.TlsTask`).

    Args:
        row: its row on the board.
        generation: the number of upgrades before its start: new connections go to the newest generation.
    """

    row: int
    generation: int


@message("profile", since=1)
class Profile(AdminOrder):
    """The tls processes have read the files of a profile, for the first time or because they have changed."""

    profile: ProfileFacts
