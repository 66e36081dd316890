"""The errors of named pods that discovery knows to be of no use now: nothing is dialled, and the fallback serves."""

from __future__ import annotations

from splicer.errors import PodError
from splicer.model import Endpoint


class PodUnusable(PodError):
    """A pod is not dialled.

    Args:
        detail: which pod, and why.
        endpoint: its endpoint; None: it has none.
    """

    status = 503
    reason = "pod_unusable"

    def __init__(self, detail: str, endpoint: Endpoint | None = None) -> None:
        super().__init__(detail)
        self.endpoint = None if endpoint is None else str(endpoint)
        self.pod = None if endpoint is None else endpoint.pod


class PodUnknown(PodUnusable):
    """The Service has no pod of this name."""

    reason = "pod_unknown"


class PodNotReady(PodUnusable):
    """The pod is neither ready nor serving."""

    reason = "pod_not_ready"


class PodUnfit(PodUnusable):
    """The pod has failed lately, and the route has a fallback."""


class PodUnhealthy(PodUnfit):
    """Its health check fails."""

    reason = "pod_unhealthy"


class PodEjected(PodUnfit):
    """Its last calls have failed."""

    reason = "pod_ejected"
